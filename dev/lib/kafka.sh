# shellcheck shell=bash
# Kafka: one node, broker and KRaft controller in one process, from the published jars.

readonly KAFKA_VERSION=4.1.1 KAFKA_CACHE=kafka-4.1.1-1

kafka_prepare() {
    ensure_java
    # slf4j-reload4j, because the jars bring the logging interface but nothing that writes.
    cached "$KAFKA_CACHE" maven_jars "Kafka and Connect $KAFKA_VERSION (54 MB)" \
        "org.apache.kafka:kafka_2.13:$KAFKA_VERSION" "org.apache.kafka:kafka-tools:$KAFKA_VERSION" \
        "org.apache.kafka:connect-runtime:$KAFKA_VERSION" "org.slf4j:slf4j-reload4j:1.7.36"
}

# kafka_java LOG_LEVEL MEMORY CLASS ARGUMENTS… → the command line, NUL-separated, for mapfile -d ''
kafka_java() {
    printf '%s\0' "$(java_command)" "-Xmx$2" -Dstack.log.level="$1" \
        -Dlog4j.configuration="file:$LIB/log4j.properties" -Dlog4j2.statusLoggerLevel=OFF \
        -Djava.net.preferIPv4Stack=true -cp "$CACHE_DIR/$KAFKA_CACHE/*" "${@:3}"
}

kafka_launch() {
    local dir command
    dir=$(part_dir kafka)
    mkdir -p "$dir"
    kafka_settings >"$dir/server.properties"
    if [[ ! -f $dir/data/meta.properties ]]; then
        mapfile -d '' command < <(kafka_java WARN 256m kafka.tools.StorageTool format --ignore-formatted \
            -t "$(kafka_new_cluster_id)" -c "$dir/server.properties")
        "${command[@]}" >"$dir/format.log" 2>&1 || {
            tail -n "$LOG_LINES_ON_FAILURE" "$dir/format.log" | sed 's/^/    /' >&2
            die "Kafka's storage could not be formatted" "read $dir/format.log"
        }
    fi
    mapfile -d '' command < <(kafka_java INFO 512m kafka.Kafka "$dir/server.properties")
    spawn kafka "${command[@]}"
}

# 16 random bytes in URL-safe base64 without padding, never beginning with a dash.
kafka_new_cluster_id() { printf 'L%s' "$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)"; }

kafka_settings() {
    cat "$CONFIG_DIR/kafka.properties" - <<SETTINGS

controller.quorum.voters=1@127.0.0.1:$(port_of kafka-controller)
listeners=PLAINTEXT://127.0.0.1:$(port_of kafka),CONTROLLER://127.0.0.1:$(port_of kafka-controller)
advertised.listeners=PLAINTEXT://127.0.0.1:$(port_of kafka)
log.dirs=$(part_dir kafka)/data
SETTINGS
}

# The port answers before the broker serves; this line comes when it does.
kafka_ready() { grep -q 'Kafka Server started' "$(part_log kafka)" && port_answers "$(port_of kafka)"; }

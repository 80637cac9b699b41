# shellcheck shell=bash
# Kafka Connect, one distributed worker, with Debezium's connectors for MariaDB and PostgreSQL as its plugins.
#
# When the core's database goes away (measured with Debezium 3.5.0 and connectors/debezium/mariadb.json):
#   killed or frozen while events stream   the binlog client's keep-alive reconnects; the task is RUNNING throughout
#   away while the task starts             the task FAILS at once, whatever errors.max.retries says, because the
#                                          first queries of the start are not among the errors that are retried;
#                                          watch-connectors restarts it until the database is back
#   Kafka killed                           the producer goes on by itself
# Of an idle database the server sends a heartbeat every 0.8 * connect.keep.alive.interval.ms, and only then does
# Debezium look whether heartbeat.interval.ms has passed. 1300 gives one a second, and did no harm with Kafka frozen
# for 12 s under 100,000 new rows (each arrived once). 5000 gave one in 4 s; the
# default of 60000 means 48 s, in which a healthy idle core looks stale.

readonly DEBEZIUM_VERSION=3.5.0.Final

connect_prepare() {
    ensure_java
    ensure_command curl curl
    cached "debezium-mariadb-$DEBEZIUM_VERSION" maven_archive "Debezium MariaDB $DEBEZIUM_VERSION (26 MB)" \
        "io.debezium:debezium-connector-mariadb:$DEBEZIUM_VERSION:tar.gz:plugin"
    cached "debezium-postgres-$DEBEZIUM_VERSION" maven_archive "Debezium PostgreSQL $DEBEZIUM_VERSION (26 MB)" \
        "io.debezium:debezium-connector-postgres:$DEBEZIUM_VERSION:tar.gz:plugin"
}

connect_launch() {
    local dir command
    dir=$(part_dir connect)
    mkdir -p "$dir"
    connect_settings >"$dir/worker.properties"
    mapfile -d '' command < <(kafka_java INFO 768m org.apache.kafka.connect.cli.ConnectDistributed "$dir/worker.properties")
    spawn connect "${command[@]}"
    is_up connect-watch || spawn connect-watch "$LIB/watch-connectors" "$(connect_url)"
}

connect_settings() {
    cat "$CONFIG_DIR/connect.properties" - <<SETTINGS

bootstrap.servers=127.0.0.1:$(port_of kafka)
listeners=http://127.0.0.1:$(port_of connect)
rest.advertised.host.name=127.0.0.1
plugin.path=$CACHE_DIR/debezium-mariadb-$DEBEZIUM_VERSION,$CACHE_DIR/debezium-postgres-$DEBEZIUM_VERSION
SETTINGS
}

connect_url() { printf 'http://127.0.0.1:%s' "$(port_of connect)"; }

# connect_api METHOD PATH [CURL OPTIONS…]
connect_api() {
    curl --noproxy '*' --silent --show-error --max-time 30 --request "$1" \
        --header 'Content-Type: application/json' "${@:3}" "$(connect_url)$2"
}

connect_ready() { connect_api GET /health --fail >/dev/null 2>&1; }

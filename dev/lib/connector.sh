# shellcheck shell=bash
# Connectors in Connect: a settings file with ${NAME} places, put there and watched until it runs.

command_register() {
    local name=${1:-} file=${2:-} settings answer
    [[ -n $name && -n $file ]] || die "register what?" \
        "DATABASE=core dev/stack register core connectors/debezium/mariadb.json"
    [[ -r $file ]] || die "cannot read $file"
    is_up connect || die "Connect is not up" "dev/stack up connect"
    settings=$(connector_settings "$name" "$file") || exit 1
    answer=$(connect_api PUT "/connectors/$name/config" --data "$settings" --write-out '\n%{http_code}')
    [[ ${answer##*$'\n'} == 20[01] ]] || die "Connect refuses $name: ${answer%$'\n'*}" "correct $file"
    local start
    start=$(now_ms)
    wait_for 90 connector_settled "$name" ||
        die "$name is not running after 90 s: $(connect_api GET "/connectors/$name/status")" "dev/stack logs connect"
    if connector_failed "$name"; then
        connector_trace "$name" >&2
        die "$name failed" "read the trace above; dev/stack logs connect"
    fi
    say "$name is running after $(seconds_since "$start") s"
}

# unregister NAME [--forget]: --forget also drops how far it has read, so that the same name starts anew.
command_unregister() {
    local name=${1:-}
    [[ -n $name ]] || die "unregister what?" "dev/stack unregister core"
    is_up connect || die "Connect is not up" "dev/stack up connect"
    if [[ ${2:-} == --forget ]]; then
        connect_api PUT "/connectors/$name/stop" >/dev/null
        wait_for 30 connector_has_no_tasks "$name" || die "$name does not stop" "dev/stack logs connect"
        wait_for 30 connector_forget "$name" || die "the offsets of $name could not be dropped" "dev/stack logs connect"
    fi
    connect_api DELETE "/connectors/$name" >/dev/null
    wait_for 30 connector_is_gone "$name" || die "$name does not go away" "dev/stack logs connect"
    say "$name is unregistered"
}

# connector_settings NAME FILE → the file with every ${NAME} place filled from the environment or these defaults.
connector_settings() (
    local part=mariadb-core user=root
    ! grep -q PostgresConnector "$2" || { part=postgres-core && user=postgres; }
    : "${CORE_DB_HOST=127.0.0.1}" "${CORE_DB_PORT=$(port_of "$part")}" "${CORE_DB_USER=$user}" "${CORE_DB_PASSWORD=}"
    # A replication slot takes lower case letters, digits and underscores.
    : "${SLOT=$(printf 'locum_%s' "$1" | tr -c 'a-z0-9' '_')}"
    : "${KAFKA_BOOTSTRAP=127.0.0.1:$(port_of kafka)}" "${TOPIC_PREFIX=$1}"
    # Two connectors on one server must differ; the same connector keeps its number.
    : "${SERVER_ID=$((10000 + $(printf '%s' "$1" | cksum | cut -d' ' -f1) % 1000000))}"
    filled "$2" || die "a place in $2 is not filled" "PLACE=… dev/stack register $1 $2"
)

connector_states() { connect_api GET "/connectors/$1/status" 2>/dev/null | grep -o '"state":"[A-Z_]*"' || true; }

# The first state is the connector's own, the others are its tasks'.
connector_settled() {
    local states
    states=$(connector_states "$1")
    [[ $states == *FAILED* ]] && return
    (($(wc -l <<<"$states") >= 2)) && ! grep -qv RUNNING <<<"$states"
}

connector_failed() { [[ $(connector_states "$1") == *FAILED* ]]; }

connector_trace() {
    connect_api GET "/connectors/$1/status" | sed -e 's/.*"trace":"//' -e 's/\\n/\n/g' -e 's/\\t/    /g' | head -n 40
}

connector_has_no_tasks() { [[ $(connector_states "$1") == '"state":"STOPPED"' ]]; }
connector_forget() { connect_api DELETE "/connectors/$1/offsets" --fail >/dev/null 2>&1; }
connector_is_gone() { ! connect_api GET "/connectors/$1" --fail >/dev/null 2>&1; }

# consume TOPIC [OPTIONS…]: Kafka's console consumer, from the beginning, with partitions and keys.
command_consume() {
    local topic=${1:-} command
    [[ -n $topic ]] || die "consume which topic?" "dev/stack consume core.bank.account --max-messages 5"
    is_up kafka || die "Kafka is not up" "dev/stack up kafka"
    mapfile -d '' command < <(kafka_java WARN 256m org.apache.kafka.tools.consumer.ConsoleConsumer \
        --bootstrap-server "127.0.0.1:$(port_of kafka)" --topic "$topic" --from-beginning \
        --property print.key=true --property print.partition=true "${@:2}")
    exec "${command[@]}"
}

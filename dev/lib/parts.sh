# shellcheck shell=bash
# The parts by name: order of starting, what each needs, and which function does what.

readonly PARTS=(mariadb-core postgres-core mariadb redis kafka oceanbase connect core)
readonly PARTS_BY_DEFAULT=(mariadb-core mariadb redis kafka connect core)
# Place of each listener in a checkout's block of ports.
readonly LISTENERS=(mariadb-core mariadb oceanbase redis kafka kafka-controller connect core core-control postgres-core)

require_part() {
    [[ " ${PARTS[*]} " == *" $1 "* ]] || die "no part '$1'" "one of: ${PARTS[*]}"
}

# selected NAMES… → the parts meant and what they need, in order of starting.
selected() {
    local wanted=" $* " part
    for part in "$@"; do [[ $part == all ]] || require_part "$part"; done
    [[ $# -gt 0 ]] || wanted=" ${PARTS_BY_DEFAULT[*]} "
    [[ $wanted != *" all "* ]] || wanted=" ${PARTS[*]} "
    [[ $wanted != *" connect "* ]] || wanted+="kafka "
    [[ $wanted != *" core "* ]] || wanted+="mariadb-core "
    for part in "${PARTS[@]}"; do
        [[ $wanted != *" $part "* ]] || printf '%s\n' "$part"
    done
}

choose_ports() {
    local index
    for index in "${!LISTENERS[@]}"; do choose_port "${LISTENERS[$index]}" "$index"; done
}

part_prepare() {
    case $1 in
        mariadb*) mariadb_prepare "$1" ;;
        postgres*) postgres_prepare "$1" ;;
        *) "$1_prepare" ;;
    esac
}

part_launch() {
    case $1 in
        mariadb*) mariadb_launch "$1" ;;
        postgres*) postgres_launch "$1" ;;
        *) "$1_launch" ;;
    esac
}

part_ready() {
    case $1 in
        mariadb*) sql_answers "$1" ;;
        postgres*) postgres_ready "$1" ;;
        *) "$1_ready" ;;
    esac
}

part_limit_seconds() {
    case $1 in
        redis) printf 20 ;;
        mariadb* | postgres*) printf 60 ;;
        *) printf 180 ;;
    esac
}

# The signal that ends a part in good order. PostgreSQL would wait for its clients on SIGTERM.
part_end_signal() {
    case $1 in
        postgres*) printf INT ;;
        *) printf TERM ;;
    esac
}

part_env() {
    case $1 in
        mariadb-core) printf 'CORE_DB_URL=mysql://root@127.0.0.1:%s\n' "$(port_of "$1")" ;;
        postgres-core) printf 'POSTGRES_URL=postgresql://postgres@127.0.0.1:%s\n' "$(port_of "$1")" ;;
        mariadb) printf 'LOCUM_DB_URL=mysql://root@127.0.0.1:%s\n' "$(port_of "$1")" ;;
        oceanbase) printf 'OCEANBASE_URL=mysql://root@127.0.0.1:%s\n' "$(port_of "$1")" ;;
        redis) printf 'REDIS_URL=redis://127.0.0.1:%s/\n' "$(port_of "$1")" ;;
        kafka) printf 'KAFKA_BOOTSTRAP=127.0.0.1:%s\n' "$(port_of "$1")" ;;
        connect) printf 'CONNECT_URL=%s\n' "$(connect_url)" ;;
        core)
            printf 'CORE_URL=http://127.0.0.1:%s\n' "$(port_of core)"
            printf 'CORE_CONTROL_URL=http://127.0.0.1:%s\n' "$(port_of core-control)"
            printf 'TOPIC_PREFIX=%s\n' "$(core_prefix)"
            ;;
    esac
}

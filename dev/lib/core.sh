# shellcheck shell=bash
# The simulated legacy core over mariadb-core, and its connector.

readonly CORE_DATABASE=corebank

# CORE_SIM_BIN names a binary that is built already. Otherwise it is built together with `locum`: one set of features, so
# that nothing is compiled twice.
core_binary() { printf '%s' "${CORE_SIM_BIN:-${CARGO_TARGET_DIR:-$ROOT/target}/release/core-sim}"; }

core_prepare() {
    ensure_command curl curl
    # Bringing a killed core back must not wait for a compiler. `command` is main's.
    # shellcheck disable=SC2154
    [[ -z ${CORE_SIM_BIN:-} && ! ($command == start && -x $(core_binary)) ]] || return 0
    say "building locum and the simulated core (the first time takes minutes) …"
    (cd "$ROOT" && cargo build --release --quiet -p locum-server -p locum-core-sim) ||
        die "the simulated core does not build" "cargo build --release -p locum-server -p locum-core-sim"
}

core_launch() {
    spawn core "$(core_binary)" --listen "127.0.0.1:$(port_of core)" --control "127.0.0.1:$(port_of core-control)" \
        --database "mysql://root@127.0.0.1:$(port_of mariadb-core)/$CORE_DATABASE" \
        --class "${CORE_CLASS:-idempotent}" --accounts 200 --customers 100 --opening-balance 1000.00
}

core_ready() { curl --noproxy '*' -sf -o /dev/null --max-time 2 "http://127.0.0.1:$(port_of core)/health"; }

# The connector's name and topic prefix: new with every new set of data, since old offsets would meet a new log.
core_prefix() {
    local file
    file=$(part_dir core)/prefix
    [[ -s $file ]] || printf 'core-%s\n' "$(now_ms)" >"$file"
    cat "$file"
}

# forget_core PARTS…: without the core's database, Kafka's log or Connect's offsets the prefix has had its time.
forget_core() {
    local part
    for part in "$@"; do
        case $part in mariadb-core | kafka | connect | core) rm -f "$(part_dir core)/prefix" ;; esac
    done
}

# Once core and Connect are up: register the connector and write what `locum serve --config` needs.
core_attach() {
    is_up core && is_up connect || return 0
    local prefix
    prefix=$(core_prefix)
    connector_settled "$prefix" || DATABASE=$CORE_DATABASE TOPIC_PREFIX=$prefix \
        command_register "$prefix" "$ROOT/connectors/debezium/mariadb.json"
    write_locum_config "$prefix"
}

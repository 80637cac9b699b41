# shellcheck shell=bash
# The simulated legacy core over mariadb-core, its connector, and a configuration of Locum for all that runs here.

readonly CORE_DATABASE=corebank

core_prepare() {
    say "building the simulated core (the first time takes minutes) …"
    (cd "$ROOT" && cargo build --release --quiet -p locum-core-sim) ||
        die "the simulated core does not build" "cargo build --release -p locum-core-sim"
}

core_launch() {
    local binary=${CARGO_TARGET_DIR:-$ROOT/target}/release/core-sim
    spawn core "$binary" --listen "127.0.0.1:$(port_of core)" --control "127.0.0.1:$(port_of core-control)" \
        --database "mysql://root@127.0.0.1:$(port_of mariadb-core)/$CORE_DATABASE" \
        --class "${CORE_CLASS:-idempotent}" --accounts 200 --customers 100 --opening-balance 1000.00
}

core_ready() { curl -sf -o /dev/null --max-time 2 "http://127.0.0.1:$(port_of core)/health"; }

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
}

# shellcheck shell=bash
# The real parts, started once before the first suite that needs them, brought down whatever happens.

SERVICES=
# Without `core`: the tests start simulated cores of their own, from the binary just built.
readonly PARTS_OF_TESTS=(mariadb-core postgres-core mariadb redis kafka oceanbase connect)

stack() { LOCUM_STACK_DIR=$STACK_DIR LOCUM_CACHE=$CACHE_DIR "$ROOT/dev/stack" "$@" 9>&-; }

# need_services: all parts up, and the variables of the suites set.
need_services() {
    [[ $SERVICES != up ]] || return 0
    [[ $SERVICES != failed ]] || { failure "the services are not up (see above)" && return 1; }
    local start
    start=$(now_ms)
    SERVICES=failed
    # What an earlier run that was killed has left.
    stack down --wipe >/dev/null 2>&1 || true
    if ! stack up "${PARTS_OF_TESTS[@]}"; then
        failure "dev/stack could not start the services (see above)"
        return 1
    fi
    SERVICES=up
    say "services are up after $(clock $(($(now_ms) - start)))"
    # shellcheck disable=SC2046  # one word a line
    export $(stack env)
    test_variables
}

# The statements of the run before would hide that one is no longer recorded.
test_variables() {
    rm -rf "$RECORDED"
    mkdir -p "$RECORDED"
    export LOCUM_STACK_DIR=$STACK_DIR
    # A test that wants an address and has none fails, instead of passing on fewer engines.
    export LOCUM_TEST_STRICT=yes
    export LOCUM_TEST_SQL_URLS=$LOCUM_DB_URL,$OCEANBASE_URL${LOCUM_TEST_SQL_URLS:+,$LOCUM_TEST_SQL_URLS}
    export LOCUM_TEST_CORE_DB_URL=$CORE_DB_URL/
    export LOCUM_TEST_POSTGRES_URL=$POSTGRES_URL
    export LOCUM_TEST_REDIS_URL=$REDIS_URL
    export LOCUM_TEST_KAFKA=$KAFKA_BOOTSTRAP
    export LOCUM_TEST_RECORD_TO=$RECORDED
    # Whatever they were set to: what is tested is what was just built.
    LOCUM_BIN=$(binary locum)
    CORE_SIM_BIN=$(binary core-sim)
    export LOCUM_BIN CORE_SIM_BIN
}

# Data goes, logs stay.
services_down() {
    [[ -n $SERVICES ]] || return 0
    SERVICES=
    say "bringing the services down …"
    if ! stack down; then
        failure "a part could not be brought down: LOCUM_STACK_DIR=$STACK_DIR dev/stack status"
        count failed 1
    fi
    rm -rf "$STACK_DIR"/*/data
}

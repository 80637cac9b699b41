# shellcheck shell=bash
# What dev/test and dev/soak stand on: their folders, the concepts they share, one run at a time. ROOT is theirs.

export LC_ALL=C.UTF-8
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LIB=$ROOT/dev/lib
TEST_DIR=$ROOT/.test
# A stack of its own: one that is up for work at the desk is neither used nor touched.
STACK_DIR=$TEST_DIR/stack
CACHE_DIR=${LOCUM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/locum}
# Where conformance and e2e leave every SQL statement, for the suite sql-parser.
RECORDED=$ROOT/.sql
# The output of each step.
LOG_DIR=$TEST_DIR/logs
export STACK_DIR CACHE_DIR RECORDED LOG_DIR

for concept in output state process fetch packages test/report test/step test/rust test/services; do
    # shellcheck source=/dev/null
    source "$LIB/$concept.sh"
done

# begin ON_SIGNAL: from here on nothing is asked, and the services are brought down whatever happens.
begin() {
    exec 2>&1 </dev/null
    cd "$ROOT" || exit 1
    alone
    # shellcheck disable=SC2064  # the name of a function
    trap "$1" INT TERM HUP
    trap 'services_down' EXIT
}

# One run per checkout: two would share the services, the logs and the target folder.
alone() {
    mkdir -p "$TEST_DIR"
    exec 9>"$TEST_DIR/lock"
    flock -n 9 || die "another dev/test or dev/soak runs in this checkout" "wait for it, or use another checkout"
}

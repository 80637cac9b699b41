# shellcheck shell=bash
# What dev/bench needs beside dev/test: its build, and how it ends early.

# Read by services.sh: what failed is told, not counted.
# shellcheck disable=SC2034,SC2154  # read there; a key
SUITE=bench PASSED[bench]=0 FAILED[bench]=0

# The binaries, with the features that dev/test builds them with: one build serves both.
build_bench() {
    local options
    mapfile -t options < <(cargo_options)
    say "building …"
    cargo build --bins "${options[@]}" 9>&-
}

# Read by services.sh, in place of what dev/test remembers of its build.
binary() { printf '%s' "${CARGO_TARGET_DIR:-$ROOT/target}/release/$1"; }

# need_peers ARGUMENTS…: the proxies beside which the arm failover is measured.
need_peers() {
    [[ " $* " == *" failover "* ]] || return 0
    (ensure_command nginx nginx nginx && ensure_command haproxy haproxy haproxy) 9>&-
}

bench_failed() {
    services_down
    trap - EXIT
    say "FAILED: $1"
    exit 1
}

bench_interrupted() {
    trap '' INT TERM HUP
    bench_failed "interrupted"
}

# shellcheck shell=bash
# Cargo: one build of everything, and the test programs it made.
#
# Every call selects the whole workspace with the same features, because another selection unifies the features of
# dependencies differently and so compiles them again. One package is therefore tested by running its programs, not by
# `cargo test -p`. Clippy runs in the release profile: it cannot use what was compiled, only checked, but it shares the
# procedural macros and the build scripts with the build, among them the minutes that librdkafka and SQLite take.

# Features of the server that tests need, where its manifest has them.
readonly FEATURES_OF_TESTS=(failpoints)

# Lines "KIND TAB FOLDER TAB NAME TAB PROGRAM"; KIND is lib, bin or test, or binary for what is shipped.
PROGRAMS=$TEST_DIR/programs
BUILT=

cargo_options() {
    local feature features=()
    for feature in "${FEATURES_OF_TESTS[@]}"; do
        ! grep -qE "^$feature *= *\[" "$ROOT/server/Cargo.toml" || features+=("locum-server/$feature")
    done
    printf '%s\n' --release --workspace --locked
    [[ ${#features[@]} -eq 0 ]] || printf '%s\n' --features "$(IFS=,; printf '%s' "${features[*]}")"
}

need_rust() {
    local program
    have cargo || { failure "cargo is missing; install Rust with rustup, version $(rust_version) or newer" && return 1; }
    # SQLite and librdkafka are built from C and C++.
    for program in "cc gcc" "c++ g++" "make make"; do
        # shellcheck disable=SC2086  # two words
        (ensure_command $program 9>&-) || { failure "${program% *} is missing (package ${program#* })" && return 1; }
    done
}

rust_version() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml"; }

# need_component rustfmt|clippy WORD-OF-CARGO
need_component() {
    need_rust || return 1
    cargo "$2" --version >/dev/null 2>&1 && return
    if have rustup; then
        say "adding the component $1 …"
        rustup component add "$1" >"$(step_log "rustup-$1")" 2>&1 || true
    fi
    cargo "$2" --version >/dev/null 2>&1 ||
        { failure "cargo $2 is missing; rustup component add $1 (Debian: the package that brings $1)" && return 1; }
}

# The build's messages go to a file of their own; its log is what a person would see.
build_everything() {
    local options
    mapfile -t options < <(cargo_options)
    # shellcheck disable=SC2016  # expanded by the child
    single build 55 bash -c 'out=$1; shift; exec "$@" >"$out"' build "$TEST_DIR/build.json" \
        cargo build --all-targets --message-format=json-render-diagnostics "${options[@]}" || return 1
    list_programs <"$TEST_DIR/build.json" >"$PROGRAMS"
    [[ -s $PROGRAMS ]] || { failure "cargo named no test program" && return 1; }
    # shellcheck disable=SC2034  # read by need_build
    BUILT=yes
}

# Cargo's messages → the lines of PROGRAMS
list_programs() {
    local common='.*"manifest_path":"([^"]*)/Cargo\.toml","target":\{"kind":\["(lib|bin|test)"[^}]*"name":"([^"]*)".*'
    sed -nE -e "s#^$common\"profile\":\{[^}]*\"test\":true\}.*\"executable\":\"([^\"]+)\".*#\2\t\1\t\3\t\4#p" \
        -e "s#^$common\"profile\":\{[^}]*\"test\":false\}.*\"executable\":\"([^\"]+)\".*#binary\t\1\t\3\t\4#p"
}

# binary NAME → its path
binary() { awk -F '\t' -v name="$1" '$1 == "binary" && $3 == name { print $4 }' "$PROGRAMS"; }

# test_program NAME → its folder and its path
test_program() { awk -F '\t' -v OFS='\t' -v name="$1" '$1 == "test" && $3 == name { print $2, $4 }' "$PROGRAMS"; }

# as_from_cargo FOLDER → what `env` must be given for a test program to run as under cargo, one a line
as_from_cargo() { printf '%s\n' -C "$1" "CARGO=$(command -v cargo)" "CARGO_MANIFEST_DIR=$1"; }

# group_of KIND FOLDER NAME PROGRAM → the suite a test program belongs to
group_of() {
    if [[ $1 == test && $3 == model ]]; then
        printf model
    elif [[ $1 == test && $3 == e2e ]]; then
        printf e2e
    elif ! grep -q LOCUM_TEST_ "$4"; then
        printf unit
    elif [[ $2 == "$ROOT/tests" ]]; then
        printf e2e
    else
        printf conformance
    fi
}

# run_programs LIMIT_MINUTES runs each test program of the suite that runs, as cargo would, and counts its tests.
run_programs() {
    local kind folder name program surroundings found=
    while IFS=$'\t' read -r kind folder name program <&3; do
        [[ $kind != binary && $(group_of "$kind" "$folder" "$name" "$program") == "$SUITE" ]] || continue
        found=yes
        mapfile -t surroundings < <(as_from_cargo "$folder")
        run_tests "$SUITE-${folder##*/}-$name" "$1" env "${surroundings[@]}" "$program"
    done 3<"$PROGRAMS"
    [[ -n $found ]] || { failure "there is no test program for this suite" && return 1; }
}

# run_tests STEP LIMIT_MINUTES COMMAND…: its `test result:` lines are counted.
run_tests() {
    local outcome=0 passed failed ignored
    step "$@" || outcome=$?
    read -r passed failed ignored < <(sed -nE \
        's/^test result: .* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored.*/\1 \2 \3/p' "$(step_log "$1")" |
        awk '{ p += $1; f += $2; i += $3 } END { print p + 0, f + 0, i + 0 }')
    # It died, or never began.
    ((outcome == 0 || failed > 0)) || failed=1
    count passed "$passed"
    count failed "$failed"
    count ignored "$ignored"
    if ((failed > 0)); then
        failed_step "$1" "$1: $failed failed ($(step_ending "$outcome")), see $(shown "$(step_log "$1")")" \
            "$(panics <"$(step_log "$1")")"
    elif ((passed > 0)); then
        say "$1: $passed passed"
    fi
}

# A test program's output → which tests panicked, the first lines of why, and the last warning of each process that a failed
# test started; short enough for the end of a report.
panics() {
    awk '/^thread .* panicked at / { left = 5 } /^note: run with|^stack backtrace:|^$/ { left = 0 }
        left-- > 0 && shown++ < 25 { print "    " substr($0, 1, 400) }
        function told() { if (warning) print "    " substr(warning, 1, 600); warning = "" }
        / \((running|exit status: |signal: ).*\), \// { told() } /^  .* (WARN|ERROR) / { warning = $0 } END { told() }'
}

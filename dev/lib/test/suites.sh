# shellcheck shell=bash
# One function per suite. What it needs first is built or started by the `need_…` it calls.

readonly SUITES=(format shell build clippy unit model sim demo conformance e2e sql-parser)
# They run what the build has made.
readonly SUITES_OF_PROGRAMS=(unit model sim demo conformance e2e)

list_suites() { printf '%s\n' "${SUITES[@]}"; }

# suites_selected NAMES… → in order, with the build before what needs it
suites_selected() {
    local wanted=" ${*:-${SUITES[*]}} " suite
    for suite in "$@"; do
        [[ " ${SUITES[*]} " == *" $suite "* ]] || die "no suite '$suite'" "one of: ${SUITES[*]}"
    done
    for suite in "${SUITES_OF_PROGRAMS[@]}"; do
        [[ $wanted != *" $suite "* ]] || wanted+="build "
    done
    for suite in "${SUITES[@]}"; do
        [[ $wanted != *" $suite "* ]] || printf '%s\n' "$suite"
    done
}

suite_format() {
    need_component rustfmt fmt || return 1
    single format 5 cargo fmt --all --check
}

suite_shell() {
    local scripts
    mapfile -t scripts < <(shell_scripts)
    [[ ${#scripts[@]} -gt 0 ]] || { failure "no shell script found" && return 1; }
    # shellcheck disable=SC2016  # expanded by the child
    single shell 5 bash -c 'for script; do bash -n "$script" || failed=yes; done; [[ -z ${failed:-} ]]' bash "${scripts[@]}" ||
        return 1
    (ensure_command shellcheck shellcheck 9>&-) || { failure "shellcheck is missing (package shellcheck)" && return 1; }
    single shellcheck 5 shellcheck -x "${scripts[@]}"
}

# Files of this repository that bash runs or reads.
shell_scripts() {
    git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
        [[ -f $file ]] || continue
        if [[ $file == *.sh ]] || head -n 1 "$file" | grep -aqE '^#!.*\b(ba)?sh\b'; then printf '%s\n' "$file"; fi
    done
}

suite_build() {
    need_rust && build_everything
}

suite_clippy() {
    local options
    need_component clippy clippy || return 1
    mapfile -t options < <(cargo_options)
    single clippy 30 cargo clippy --all-targets "${options[@]}" -- -D warnings
}

need_build() { [[ -n $BUILT ]] || { failure "not run, because the build failed" && return 1; }; }

suite_unit() {
    local options
    need_build || return 1
    mapfile -t options < <(cargo_options)
    run_programs 15
    run_tests unit-documentation 15 cargo test --doc "${options[@]}"
}

suite_model() {
    need_build && run_programs 20
}

suite_sim() {
    need_build || return 1
    single sim-seeds 5 "$(binary locum-sim)" --seeds 300 && single sim-flaws 5 "$(binary locum-sim)" --flaws
}

suite_demo() {
    need_build && single demo 5 "$(binary locum)" demo --check
}

suite_conformance() {
    need_build && need_services && run_programs 20
}

suite_e2e() {
    need_build && need_services && run_programs 40
}

# Checks what the last run of conformance and e2e has left, so it can be run alone after them.
suite_sql-parser() {
    local program
    [[ -n $(find "$RECORDED" -name '*.sql' -print -quit 2>/dev/null) ]] ||
        { failure "no SQL statement was recorded in .sql; conformance and e2e do that" && return 1; }
    single sql-parser-build 20 "$ROOT/dev/sql-parser/build" || return 1
    program=$(tail -n 1 "$(step_log sql-parser-build)")
    single sql-parser 10 "$program" "$RECORDED" || return 1
    tail -n 1 "$(step_log sql-parser)"
}

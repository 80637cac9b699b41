# shellcheck shell=bash
# What each suite came to. Tests are counted as cargo's test programs count them; any other suite is one.

SUITES_RUN=()
declare -A PASSED=() FAILED=() IGNORED=() SUITE_MS=()
# Sentences for the end of the report, one for each failure; what failed tests said goes below its sentence.
FAILURES=()
STARTED_MS=$(now_ms)

# count passed|failed|ignored NUMBER adds to the suite that runs.
count() {
    local -n tally=${1^^}
    # shellcheck disable=SC2004  # a key, not arithmetic
    tally[$SUITE]=$((tally[$SUITE] + $2))
}

# failure SENTENCE [DETAILS]: a failure of the suite that runs, without counting it.
failure() {
    FAILURES+=("$SUITE: $1${2:+$'\n'$2}")
    say "$SUITE: FAILED: $1"
}

# run_suite NAME; a suite's function counts its tests, or returns how it went and is counted as one.
run_suite() {
    local start outcome=0
    SUITE=$1
    SUITES_RUN+=("$SUITE")
    PASSED[$SUITE]=0 FAILED[$SUITE]=0 IGNORED[$SUITE]=0
    start=$(now_ms)
    say "$SUITE …"
    "suite_$SUITE" || outcome=$?
    SUITE_MS[$SUITE]=$(($(now_ms) - start))
    if ((PASSED[$SUITE] + FAILED[$SUITE] == 0)); then
        if ((outcome == 0)); then count passed 1; else count failed 1; fi
    elif ((outcome != 0 && FAILED[$SUITE] == 0)); then
        count failed 1
    fi
    say "$SUITE: $(suite_result), $(clock "${SUITE_MS[$SUITE]}")"
}

suite_result() {
    local text="${PASSED[$SUITE]} passed, ${FAILED[$SUITE]} failed"
    ((IGNORED[$SUITE] == 0)) || text+=", ${IGNORED[$SUITE]} ignored by their authors"
    printf '%s' "$text"
}

# clock MILLISECONDS → "12:03" (minutes and seconds)
clock() { printf '%d:%02d' $(($1 / 60000)) $(($1 / 1000 % 60)); }

# The table, the failures, the closing line; then the end.
closing_report() {
    local suite passed=0 failed=0
    printf '\n%-13s %7s %7s %8s %7s\n' SUITE PASSED FAILED IGNORED TIME
    for suite in "${SUITES_RUN[@]}"; do
        printf '%-13s %7d %7d %8d %7s\n' "$suite" "${PASSED[$suite]}" "${FAILED[$suite]}" "${IGNORED[$suite]}" \
            "$(clock "${SUITE_MS[$suite]:-0}")"
        passed=$((passed + PASSED[$suite]))
        failed=$((failed + FAILED[$suite]))
    done
    printf '%-13s %32s\n' total "$(clock $(($(now_ms) - STARTED_MS)))"
    [[ ${#FAILURES[@]} -eq 0 ]] || printf 'FAILED %s\n' "${FAILURES[@]}"
    printf '%d passed, %d failed\n' "$passed" "$failed"
    trap - EXIT
    if ((failed > 0 || passed == 0)); then exit 1; else exit 0; fi
}

# On a signal: what runs is ended, the services are brought down, and the report says so.
interrupted() {
    trap '' INT TERM HUP
    end_step
    failure "interrupted"
    [[ -z ${SUITE:-} ]] || count failed 1
    services_down
    closing_report
}

# shellcheck shell=bash
# A step: one command with a log of its own, a limit of time, and a word now and then about how far it is.

readonly PROGRESS_SECONDS=20 LOG_LINES_OF_FAILURE=60
STEP_PID=

# step NAME LIMIT_MINUTES COMMAND… runs it with its output in the log of NAME; 124 is "did not end in time".
step() {
    local name=$1 minutes=$2 log shown start outcome=0
    log=$(step_log "$name")
    shift 2
    start=$(now_ms)
    shown=$start
    # A background job of a script ignores Ctrl-C, and so would all that a test starts: `env` takes that back.
    # `timeout` makes the step a process group of its own, known by its pid.
    timeout --kill-after=20 "${minutes}m" env --default-signal=INT,QUIT "$@" >"$log" 2>&1 </dev/null 9>&- &
    STEP_PID=$!
    while kill -0 "$STEP_PID" 2>/dev/null; do
        sleep "$POLL_SECONDS"
        if (($(now_ms) - shown > PROGRESS_SECONDS * 1000)); then
            shown=$(now_ms)
            say "$name … $(clock $((shown - start))), $(last_words "$log")"
        fi
    done
    wait "$STEP_PID" || outcome=$?
    end_group "$STEP_PID"
    STEP_PID=
    ((outcome != 124)) || printf '\nended: not done after %d minutes\n' "$minutes" >>"$log"
    return "$outcome"
}

step_log() { printf '%s/%s.log' "$LOG_DIR" "$1"; }

# shown PATH, as a person in the checkout would write it.
shown() { printf '%s' "${1#"$ROOT/"}"; }

# The last line that says anything, and how many crates a build has come through.
last_words() {
    local compiled
    compiled=$(grep -cE '^ *(Compiling|Checking) ' "$1" || true)
    ((compiled == 0)) || printf '%d crates begun, ' "$compiled"
    grep -v '^[[:space:]]*$' "$1" | tail -n 1 | cut -c -90
}

# end_step: after a signal; `timeout` hands it to all that the step has started.
end_step() {
    [[ -n $STEP_PID ]] || return 0
    kill -TERM "$STEP_PID" 2>/dev/null || true
    wait "$STEP_PID" 2>/dev/null || true
    end_group "$STEP_PID"
}

# failed_step NAME SENTENCE [DETAILS] shows the end of its log.
failed_step() {
    show_step_end "$1"
    failure "$2" "${3:-}"
}

show_step_end() {
    local log
    log=$(step_log "$1")
    say "last lines of $log:"
    tail -n "$LOG_LINES_OF_FAILURE" "$log" | sed 's/^/    /'
}

# single NAME LIMIT_MINUTES COMMAND… for suites that are one step.
single() {
    local outcome=0
    step "$@" || outcome=$?
    ((outcome == 0)) || failed_step "$1" "$(step_ending "$outcome"), see $(shown "$(step_log "$1")")"
    return "$outcome"
}

# step_ending CODE in words
step_ending() {
    case $1 in
        124 | 137) printf 'did not end in time, or was killed' ;;
        1[3-9][0-9]) printf 'died of signal %d' $(($1 - 128)) ;;
        *) printf 'exit code %d' "$1" ;;
    esac
}

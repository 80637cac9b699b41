# shellcheck shell=bash
# Processes: started apart from this terminal, known by pid AND start time, never signalled on the pid alone.

readonly POLL_SECONDS=0.1 LOG_LINES_ON_FAILURE=25

# proc_field PID N: field N of /proc/PID/stat; the name before field 3 may hold blanks.
proc_field() {
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -r -a fields <<<"${stat##*) }"
    printf '%s' "${fields[$2 - 3]}"
}

# pid_of PART prints the pid while the very process we started lives (a zombie does not).
pid_of() {
    local pid start state
    read -r pid start 2>/dev/null <"$(part_dir "$1")/pid" || return 1
    [[ $(proc_field "$pid" 22) == "$start" ]] || return 1
    state=$(proc_field "$pid" 3) || return 1
    [[ $state != Z ]] || return 1
    printf '%s' "$pid"
}

is_up() { pid_of "$1" >/dev/null; }

is_frozen() {
    local pid
    pid=$(pid_of "$1") && [[ $(proc_field "$pid" 3) == T ]]
}

# spawn PART COMMAND… The child writes its own pid file and then becomes COMMAND,
# so there is no moment at which it runs and is not known.
spawn() {
    local part=$1 dir
    shift
    dir=$(part_dir "$part")
    mkdir -p "$dir"
    [[ -f $dir/port ]] && port_answers "$(port_of "$part")" &&
        die "port $(port_of "$part"), which $part has had before, is taken by another process" \
            "stop that process (ss -ltnp), or remove $dir/port to let another port be chosen"
    [[ ! -f $dir/log ]] || mv -f "$dir/log" "$dir/log.1"
    # shellcheck disable=SC2016  # expanded by the child
    setsid bash -c '
        pid_file=$1; shift
        stat=$(cat "/proc/$$/stat"); read -r -a fields <<<"${stat##*) }"
        echo "$$ ${fields[19]}" >"$pid_file.tmp" && mv "$pid_file.tmp" "$pid_file"
        exec "$@"' spawn "$dir/pid" "$@" >"$dir/log" 2>&1 </dev/null 9>&- &
    local child=$!
    until [[ $(cut -d' ' -f1 "$dir/pid" 2>/dev/null) == "$child" ]] || ! kill -0 "$child" 2>/dev/null; do
        sleep 0.01
    done
    disown "$child" 2>/dev/null || true
}

# end_group PID: whatever is left of the process group that PID began, for instance because it ignores SIGTERM.
end_group() { kill -KILL -- "-$1" 2>/dev/null || true; }

# wait_for LIMIT_SECONDS COMMAND… until it succeeds; fails at the limit.
wait_for() {
    local deadline=$(($(now_ms) + $1 * 1000))
    shift
    until "$@"; do
        (($(now_ms) < deadline)) || return 1
        sleep "$POLL_SECONDS"
    done
}

# await_ready PARTS… waits for all at once; LAUNCHED_MS[part] is when each was launched.
declare -A LAUNCHED_MS=()
await_ready() {
    local pending=("$@") waiting part
    while ((${#pending[@]} > 0)); do
        waiting=()
        for part in "${pending[@]}"; do
            is_up "$part" || give_up "$part" "ended while starting"
            if part_ready "$part"; then
                say "$part is ready on 127.0.0.1:$(port_of "$part") after $(seconds_since "${LAUNCHED_MS[$part]}") s"
            elif (($(now_ms) - LAUNCHED_MS[$part] > $(part_limit_seconds "$part") * 1000)); then
                # The next `up` begins it anew instead of waiting for it again.
                ask_to_end "$part"
                await_end "$part"
                give_up "$part" "is not ready after $(part_limit_seconds "$part") s"
            else
                waiting+=("$part")
            fi
        done
        pending=("${waiting[@]}")
        sleep "$POLL_SECONDS"
    done
}

# give_up PART WHAT_HAPPENED
give_up() {
    show_log_end "$1"
    die "$1 $2" "dev/stack logs $1; dev/stack status"
}

show_log_end() {
    say "last lines of $(part_log "$1"):"
    tail -n "$LOG_LINES_ON_FAILURE" "$(part_log "$1")" 2>/dev/null | sed 's/^/    /' >&2
}

# signal PART SIGNAL
signal() {
    local pid
    pid=$(pid_of "$1") || return 0
    kill -s "$2" "$pid" 2>/dev/null || true
}

ask_to_end() {
    signal "$1" "$(part_end_signal "$1")"
    signal "$1" CONT
}

is_gone() { ! is_up "$1"; }

# await_end PART: after ask_to_end; what does not end in time is killed.
await_end() {
    if ! wait_for 20 is_gone "$1"; then
        say "$1 did not end when asked to; killing it"
        signal "$1" KILL
        wait_for 10 is_gone "$1" || die "$1 (pid $(pid_of "$1")) survives SIGKILL" "see dmesg"
    fi
    rm -f "$(part_dir "$1")/pid"
}

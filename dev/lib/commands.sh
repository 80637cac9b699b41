# shellcheck shell=bash
# One function per sub-command.

command_up() {
    local parts part started=()
    parts=$(selected "$@") || exit 1
    choose_ports
    for part in $parts; do is_up "$part" || part_prepare "$part"; done
    for part in $parts; do
        # An `up` that was killed leaves parts that run but are not ready yet: they are waited for, too.
        if is_frozen "$part"; then
            say "$part hangs, as 'dev/stack stop $part' left it; dev/stack cont $part"
            continue
        fi
        if is_up "$part" && part_ready "$part"; then continue; fi
        # shellcheck disable=SC2034,SC2004  # read by await_ready; a key, not arithmetic
        LAUNCHED_MS[$part]=$(now_ms)
        is_up "$part" || part_launch "$part"
        started+=("$part")
    done
    await_ready "${started[@]}"
    core_attach
    write_env
    [[ ${#started[@]} -gt 0 ]] || say "already up: ${parts//$'\n'/ }"
}

# down [PARTS…] [--wipe]. Connect goes first: it writes to Kafka on its way out.
command_down() {
    local wipe='' names=() parts part
    for part in "$@"; do
        if [[ $part == --wipe ]]; then wipe=yes; else names+=("$part"); fi
    done
    for part in "${names[@]}"; do [[ $part == all ]] || require_part "$part"; done
    parts=${names[*]:-all}
    # shellcheck disable=SC2153  # PARTS is the list of all
    [[ " $parts " != *" all "* ]] || parts="${PARTS[*]}"
    [[ " $parts " != *" kafka "* || " $parts " == *" connect "* ]] || parts="connect $parts"
    if [[ " $parts " == *" connect "* ]] && is_up connect; then
        ask_to_end connect
        await_end connect
    fi
    if [[ " $parts " == *" connect "* ]]; then
        ask_to_end connect-watch
        await_end connect-watch
        [[ -z $wipe ]] || rm -f "$(part_log connect-watch)"{,.1}
    fi
    for part in $parts; do ask_to_end "$part"; done
    for part in $parts; do
        await_end "$part"
        [[ -z $wipe ]] || rm -rf "$(readlink -f -- "$(part_dir "$part")/data").saved" "$(part_dir "$part")/data" \
            "$(part_dir "$part")"/*.log "$(part_log "$part")"{,.1}
    done
    # shellcheck disable=SC2086  # a list of words
    [[ -z $wipe ]] || forget_core $parts
    write_env
    say "down: $parts${wipe:+, data removed}"
}

# kill | start | stop | cont PART
command_one_part() {
    local command=$1 part=${2:-}
    [[ -n $part ]] || die "$command which part?" "dev/stack $command ${PARTS[0]}"
    require_part "$part"
    if [[ $command == start ]]; then
        command_up "$part"
        return
    fi
    is_up "$part" || die "$part is not up" "dev/stack start $part"
    case $command in
        kill)
            signal "$part" KILL
            await_end "$part"
            ;;
        stop)
            signal "$part" STOP
            wait_for 5 is_frozen "$part" || die "$part did not stop"
            ;;
        cont) signal "$part" CONT ;;
    esac
    write_env
    say "$part: $command done"
}

# save | restore PART: a copy of a part's data as they are now, and the way back to it. The part is started again.
command_copy() {
    local command=$1 part=${2:-} data copy
    [[ -n $part ]] || die "$command which part?" "dev/stack $command ${PARTS[0]}"
    require_part "$part"
    data=$(readlink -f -- "$(part_dir "$part")/data")
    copy=$data.saved
    [[ -d $data ]] || die "$part has no data yet" "dev/stack up $part"
    [[ $command == save || -d $copy ]] || die "no data of $part were saved" "dev/stack save $part"
    ask_to_end "$part"
    await_end "$part"
    case $command in
        save) rm -rf "${copy:?}" && cp -a -- "$data" "$copy" ;;
        restore) rm -rf "${data:?}" && cp -a -- "$copy" "$data" ;;
    esac
    command_up "$part"
    say "$part: $command done"
}

command_status() {
    local part pid state port memory
    printf '%-13s %-8s %-8s %-6s %-8s %s\n' PART STATE PID PORT MEMORY LOG
    for part in "${PARTS[@]}"; do
        port=$(port_of "$part" 2>/dev/null || printf -- -)
        pid=- memory=- state=down
        if pid=$(pid_of "$part"); then
            memory="$(($(awk '/^VmRSS/ {print $2}' "/proc/$pid/status") / 1024)) MB"
            state=starting
            if is_frozen "$part"; then state=stopped; elif part_ready "$part"; then state=up; fi
        elif [[ -f $(part_dir "$part")/pid ]]; then
            pid=- state=died
        else
            pid=-
        fi
        printf '%-13s %-8s %-8s %-6s %-8s %s\n' "$part" "$state" "$pid" "$port" "$memory" "$(part_log "$part")"
    done
}

command_logs() {
    local part=${1:-}
    [[ -n $part ]] || die "logs of which part?" "dev/stack logs kafka -f"
    require_part "$part"
    [[ -f $(part_log "$part") ]] || die "$part has no log yet" "dev/stack up $part"
    if [[ ${2:-} == -f ]]; then exec tail -n 100 -F "$(part_log "$part")"; fi
    cat "$(part_log "$part")"
}

command_env() {
    local part
    printf 'STACK_DIR=%s\n' "$STACK_DIR"
    for part in "${PARTS[@]}"; do
        ! is_up "$part" || part_env "$part"
    done
}

write_env() {
    command_env >"$STACK_DIR/env.part"
    mv "$STACK_DIR/env.part" "$STACK_DIR/env"
}

command_help() { cat "$LIB/help.txt"; }

# shellcheck shell=bash
# Rounds of the deciding run: which, for how long, and what to say of one that failed.

readonly CLASSES=(idempotent enquiry neither) ENGINES=(mariadb oceanbase)
readonly DECIDING_RUN=deciding::the_deciding_run_of_the_environment
# After so many rounds topics and binlogs fill some gigabytes.
readonly ROUNDS_OF_A_STACK=6
# Beyond the load itself: outages, waits for the drain, the checker.
readonly MARGIN_MINUTES=30

# What was asked for; soak_options sets it. A pair is "CLASS ENGINE".
HOURS='' ROUNDS='' SEED='' TRANSFERS=10000 PER_SECOND=150 PAIRS=()
PASSED_ROUNDS=0
# The round that runs: "CLASS ENGINE SEED".
ROUND=''
# The shared concepts count by suite.
# shellcheck disable=SC2034,SC2154  # read there; a key
SUITE=soak PASSED[soak]=0 FAILED[soak]=0

soak_options() {
    local classes=("${CLASSES[@]}") engines=("${ENGINES[@]}") option class engine
    while (($# > 0)); do
        option=$1
        case $option in -h | --help | help) cat "$LIB/test/soak.txt" && exit ;; esac
        (($# > 1)) || die "$option needs a value, or is no option" "dev/soak --help"
        case $option in
            --hours) HOURS=$2 ;;
            --rounds) ROUNDS=$(whole "$@") ;;
            --class) classes=("$(one_of "$option" "$2" "${CLASSES[@]}")") || exit ;;
            --engine) engines=("$(one_of "$option" "$2" "${ENGINES[@]}")") || exit ;;
            --transfers) TRANSFERS=$(whole "$@") ;;
            --per-second) PER_SECOND=$(whole "$@") ;;
            --seed) SEED=$(whole "$@") ;;
            *) die "no option '$option'" "dev/soak --help" ;;
        esac
        shift 2
    done
    [[ -z $HOURS || $HOURS =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "--hours $HOURS is no number" "--hours 8"
    [[ -z $HOURS || -z $ROUNDS ]] || die "--hours and --rounds exclude each other"
    for class in "${classes[@]}"; do
        for engine in "${engines[@]}"; do PAIRS+=("$class $engine"); done
    done
    [[ -n $HOURS$ROUNDS ]] || ROUNDS=${#PAIRS[@]}
}

# whole OPTION VALUE …
whole() {
    [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 $2 is no whole number above 0"
    printf '%s' "$2"
}

# one_of OPTION VALUE NAMES…
one_of() {
    [[ " ${*:3} " == *" $2 "* ]] || die "$1 $2 is none of: ${*:3}"
    printf '%s' "$2"
}

soak() {
    while more_rounds; do
        if ((PASSED_ROUNDS % ROUNDS_OF_A_STACK == 0)); then
            services_down
            need_services || soak_failed "the services are not up"
        fi
        ROUND="${PAIRS[PASSED_ROUNDS % ${#PAIRS[@]}]} $(next_seed)"
        # shellcheck disable=SC2086  # three words
        run_round $ROUND || soak_failed "round $((PASSED_ROUNDS + 1)) ($ROUND)"
        PASSED_ROUNDS=$((PASSED_ROUNDS + 1))
    done
}

more_rounds() {
    if [[ -n $ROUNDS ]]; then
        ((PASSED_ROUNDS < ROUNDS))
    else
        (($(now_ms) - STARTED_MS < $(awk -v hours="$HOURS" 'BEGIN { printf "%d", hours * 3600000 }')))
    fi
}

next_seed() {
    if [[ -n $SEED ]]; then
        printf '%d' $((SEED + PASSED_ROUNDS))
    else
        od -An -N4 -tu4 /dev/urandom | tr -d ' '
    fi
}

# run_round CLASS ENGINE SEED. The worlds of a round that passed are not kept.
run_round() {
    local folder program surroundings name worlds
    name=round-$((PASSED_ROUNDS + 1))-$1-$2-$3
    worlds=$LOG_DIR/$name
    say "round $((PASSED_ROUNDS + 1)): class $1, engine $2, seed $3 …"
    IFS=$'\t' read -r folder program < <(test_program e2e)
    mapfile -t surroundings < <(as_from_cargo "$folder")
    mkdir -p "$worlds"
    step "$name" $((3 * TRANSFERS / PER_SECOND / 60 + MARGIN_MINUTES)) env "${surroundings[@]}" TMPDIR="$worlds" \
        LOCUM_E2E_CLASS="$1" LOCUM_E2E_ENGINE="$2" LOCUM_E2E_SEED="$3" \
        LOCUM_E2E_TRANSFERS="$TRANSFERS" LOCUM_E2E_PER_SECOND="$PER_SECOND" \
        "$program" --ignored --exact "$DECIDING_RUN" --nocapture || return 1
    # A program that has no such test is content, too.
    grep -q '^test result: ok. 1 passed' "$(step_log "$name")" || return 1
    rm -rf "$worlds"
}

# soak_failed WHAT: keeps what the parts have said, tells how to repeat the round, and ends.
soak_failed() {
    local part class engine seed again=''
    if [[ -n $ROUND ]]; then
        read -r class engine seed <<<"$ROUND"
        show_step_end "round-$((PASSED_ROUNDS + 1))-$class-$engine-$seed"
        for part in "$STACK_DIR"/*/log; do cp "$part" "$LOG_DIR/$(basename "${part%/log}").log" || true; done
        again="; again: ${LOCUM_E2E_CLIENTS:+LOCUM_E2E_CLIENTS=$LOCUM_E2E_CLIENTS }"
        again+="${LOCUM_E2E_ACCOUNTS:+LOCUM_E2E_ACCOUNTS=$LOCUM_E2E_ACCOUNTS }"
        again+="dev/soak --rounds 1 --class $class --engine $engine --transfers $TRANSFERS"
        again+=" --per-second $PER_SECOND --seed $seed"
    fi
    soak_end 1 "FAILED: $1, after $PASSED_ROUNDS rounds that passed$again"
}

soak_interrupted() {
    trap '' INT TERM HUP
    end_step
    soak_end 1 "interrupted${ROUND:+ in round $((PASSED_ROUNDS + 1)) ($ROUND)}, after $PASSED_ROUNDS rounds that passed"
}

# soak_end CODE SENTENCE: the last line.
soak_end() {
    services_down
    trap - EXIT
    say "$2; logs in $(shown "$LOG_DIR")"
    exit $(($1 || FAILED[soak] > 0))
}

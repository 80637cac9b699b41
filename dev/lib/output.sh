# shellcheck shell=bash
# What a script of dev/ tells its user. All of it goes to stderr, so that `env` and `consume` stay clean.

# The first word of every line: who speaks.
SPEAKER=stack

say() { printf '%s: %s\n' "$SPEAKER" "$*" >&2; }

# die PROBLEM [REMEDY]
die() {
    say "error: $1"
    [[ -z ${2:-} ]] || say "  try: $2"
    exit 1
}

# Milliseconds since the epoch.
now_ms() { printf '%s' "$((${EPOCHREALTIME/[.,]/} / 1000))"; }

# seconds_since START_MS → "3.2"
seconds_since() {
    local elapsed=$(($(now_ms) - $1))
    printf '%d.%d' $((elapsed / 1000)) $((elapsed % 1000 / 100))
}

# megabytes FILE_OR_FOLDER
megabytes() { du -sm -- "$1" 2>/dev/null | cut -f1; }

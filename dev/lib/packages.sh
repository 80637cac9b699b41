# shellcheck shell=bash
# Programs from the system's packages. As root with apt they are installed; otherwise the remedy is named.

have() { command -v "$1" >/dev/null 2>&1; }

# Nothing here may inherit the lock (9): a service that a package starts would hold it as long as it runs.

# ensure_command COMMAND PACKAGE [SERVICE]: SERVICE is what the package starts by itself, and must not here.
ensure_command() {
    have "$1" && return
    if [[ $(id -u) == 0 ]] && have apt-get; then
        install_package "$2"
        [[ -z ${3:-} ]] || stop_service "$3"
        hash -r
    fi
    have "$1" || die "'$1' is missing" "as root: apt-get install $2"
}

install_package() {
    local log=$STACK_DIR/apt.log tries
    say "installing $1 …"
    mkdir -p "$STACK_DIR"
    export DEBIAN_FRONTEND=noninteractive
    # An update fails at once while another one holds the lists' lock; only installing knows how to wait.
    for ((tries = 0; tries < 60; tries++)); do
        if apt-get -q update >"$log" 2>&1 9>&-; then break; fi
        grep -q 'Could not get lock' "$log" || break
        sleep 2
    done
    if ! apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "$1" >>"$log" 2>&1 9>&-; then
        tail -n 15 "$log" | sed 's/^/    /' >&2
        die "apt-get could not install $1" "apt-get install $1"
    fi
}

stop_service() {
    if [[ -d /run/systemd/system ]]; then
        systemctl stop "$1" 2>/dev/null || true
    elif have service; then
        service "$1" stop >/dev/null 2>&1 || true
    fi
}

# Java 17 or newer, from JAVA_HOME or the PATH.
java_command() { printf '%s' "${JAVA_HOME:+$JAVA_HOME/bin/}java"; }

ensure_java() {
    local version
    [[ -n ${JAVA_HOME:-} ]] || ensure_command java default-jre-headless
    version=$("$(java_command)" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    ((${version:-0} >= 17)) || die "Kafka 4 needs Java 17 or newer, $(java_command) is ${version:-unknown}" \
        "as root: apt-get install openjdk-17-jre-headless; or set JAVA_HOME"
}

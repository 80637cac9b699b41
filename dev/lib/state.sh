# shellcheck shell=bash
# What a checkout remembers, in STACK_DIR (.stack/, ignored by git):
#
#   lock         held while a command changes anything
#   env          the lines of `dev/stack env`
#   PART/port    chosen once, kept as long as the folder, so that a part comes back where it was
#   PART/pid     "PID START-TIME" of the running process
#   PART/log     this run's output; PART/log.1 is the run before
#   PART/data    what survives `down`, `kill` and `start`

# Each checkout starts looking at its own block of ports, so two checkouts seldom even meet.
# The range ends below 32768, where Linux begins to hand out ports for outgoing connections.
readonly PORTS_FIRST=20000 PORT_BLOCKS=600 PORT_BLOCK_SIZE=20
# A socket path is limited to 107 bytes by the kernel.
readonly SOCKET_PATH_MAX=107


part_dir() { printf '%s/%s' "$STACK_DIR" "$1"; }
part_log() { printf '%s/%s/log' "$STACK_DIR" "$1"; }

checkout_hash() { printf '%s' "$STACK_DIR" | cksum | cut -d' ' -f1; }

# locked COMMAND… runs it while no other command of this checkout changes anything.
locked() {
    mkdir -p "$STACK_DIR"
    exec 9>"$STACK_DIR/lock"
    if ! flock -n 9; then
        say "waiting for another dev/stack of this checkout …"
        flock 9
    fi
    "$@"
}

# Is anything listening on 127.0.0.1:PORT?
port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# choose_port LISTENER INDEX remembers a free port. INDEX is the listener's place in the block.
choose_port() {
    local listener=$1 index=$2 file block port
    file=$(part_dir "$listener")/port
    [[ ! -s $file ]] || return 0
    mkdir -p "${file%/*}"
    block=$(($(checkout_hash) % PORT_BLOCKS))
    for ((tries = 0; tries < PORT_BLOCKS; tries++)); do
        port=$((PORTS_FIRST + (block + tries) % PORT_BLOCKS * PORT_BLOCK_SIZE + index))
        if ! port_answers "$port"; then
            printf '%s\n' "$port" >"$file.tmp" && mv "$file.tmp" "$file"
            return 0
        fi
    done
    die "no free port for $listener between $PORTS_FIRST and 32000" "stop what listens there (ss -ltnp)"
}

# port_of LISTENER
port_of() { cat "$(part_dir "$1")/port"; }

# socket_path PART: in the part's folder, or in a short one when the checkout's path is long.
socket_path() {
    local path short
    path=$(part_dir "$1")/socket
    if ((${#path} > SOCKET_PATH_MAX)); then
        short=${TMPDIR:-/tmp}/locum-$(id -u)-$(checkout_hash)
        ((${#short} < SOCKET_PATH_MAX - 20)) || short=/tmp/locum-$(id -u)-$(checkout_hash)
        mkdir -p "$short"
        chmod 700 "$short"
        path=$short/$1
    fi
    printf '%s' "$path"
}

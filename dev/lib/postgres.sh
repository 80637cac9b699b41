# shellcheck shell=bash
# A legacy core's PostgreSQL: logical decoding for Debezium, TCP only.
#
# PostgreSQL refuses to run as root, so root starts it as the user postgres. Where that user cannot reach the checkout, the
# data live in a folder of its own and `data` is a link to it.

postgres_prepare() {
    local part=$1 dir data
    if [[ -z $(postgres_bin) ]]; then
        if [[ $(id -u) != 0 ]] || ! have apt-get; then
            die "PostgreSQL is missing" "as root: apt-get install postgresql"
        fi
        install_package postgresql
        stop_service postgresql
    fi
    dir=$(part_dir "$part")
    # A link whose folder is gone counts as no data.
    [[ ! -d $dir/data ]] || return 0
    say "$part: creating its data folder …"
    mkdir -p "$dir"
    data=$(postgres_place "$part")
    rm -rf "${dir:?}/data" "${data:?}"
    install -d -m 700 "${postgres_owner[@]}" "$data"
    if ! postgres_as "$data" "$(postgres_bin)/initdb" --pgdata="$data" --username=postgres --auth=trust \
        --encoding=UTF8 --locale=C >"$dir/initdb.log" 2>&1; then
        tail -n "$LOG_LINES_ON_FAILURE" "$dir/initdb.log" | sed 's/^/    /' >&2
        rm -rf "${data:?}"
        die "initdb failed for $part" "read $dir/initdb.log"
    fi
    [[ $data == "$dir/data" ]] || ln -s "$data" "$dir/data"
}

postgres_owner=()
[[ $(id -u) != 0 ]] || postgres_owner=(--owner=postgres --group=postgres)

# The newest PostgreSQL of the system's packages, or the one on the PATH. Debian keeps its servers off the PATH.
postgres_bin() {
    local found
    found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    [[ -x $found ]] || found=$(command -v initdb) || return 0
    dirname -- "$(readlink -f -- "$found")"
}

# postgres_place PART → where its data are created
postgres_place() {
    local dir
    dir=$(part_dir "$1")
    if [[ $(id -u) != 0 ]] || setpriv "${postgres_drop[@]}" test -x "$dir"; then
        printf '%s/data' "$dir"
    else
        printf '%s/locum-%s-%s' "${TMPDIR:-/tmp}" "$1" "$(checkout_hash)"
    fi
}

postgres_drop=(--reuid=postgres --regid=postgres --init-groups)

# postgres_as FOLDER COMMAND…: as the user who may run PostgreSQL, from a folder that this user can enter
postgres_as() {
    local drop=()
    [[ $(id -u) != 0 ]] || drop=(setpriv "${postgres_drop[@]}")
    in_folder "$1" "${drop[@]}" "${@:2}"
}

postgres_launch() {
    local part=$1 data drop=()
    data=$(readlink -f -- "$(part_dir "$part")/data")
    # A killed server's children hold its shared memory for a moment.
    wait_for 20 postgres_is_left "$data" || die "processes of the former $part survive" "ps -u postgres"
    rm -f "$data/postmaster.pid"
    [[ $(id -u) != 0 ]] || drop=(setpriv "${postgres_drop[@]}")
    spawn "$part" env --chdir="$data" "${drop[@]}" "$(postgres_bin)/postgres" -D "$data" \
        -c config_file="$(postgres_config "$part" "$data")" -c port="$(port_of "$part")"
}

# No process works in this data folder.
postgres_is_left() { [[ -z $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$1" 2>/dev/null) ]]; }

# The settings, copied to where the server's user can read them.
postgres_config() {
    install -m 600 "${postgres_owner[@]}" "$CONFIG_DIR/$1.conf" "$2/$1.conf"
    printf '%s/%s.conf' "$2" "$1"
}

postgres_ready() {
    "$(postgres_bin)/pg_isready" --quiet --host=127.0.0.1 --port="$(port_of "$1")" --username=postgres --timeout=2
}

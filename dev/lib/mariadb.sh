# shellcheck shell=bash
# Two servers of the same kind: `mariadb-core` is the legacy core's, `mariadb` is Locum's own.
# They are apart so that killing the core's leaves Locum's running, which is what Locum is for.

mariadb_prepare() {
    ensure_command mariadbd mariadb-server mariadb
    ensure_command mariadb-install-db mariadb-server mariadb
    ensure_command mariadb mariadb-client
    local part=$1 dir
    dir=$(part_dir "$part")
    [[ ! -d $dir/data ]] || return 0
    say "$part: creating its data folder …"
    rm -rf "$dir/data.part"
    mkdir -p "$dir"
    if ! mariadb-install-db --no-defaults "${mariadb_as_root[@]}" --auth-root-authentication-method=normal \
        --skip-test-db --datadir="$dir/data.part" >"$dir/install.log" 2>&1; then
        tail -n "$LOG_LINES_ON_FAILURE" "$dir/install.log" | sed 's/^/    /' >&2
        die "mariadb-install-db failed for $part" "read $dir/install.log"
    fi
    mv "$dir/data.part" "$dir/data"
}

# As root the server stays root: the user mysql could not enter a checkout below a private home folder.
mariadb_as_root=()
[[ $(id -u) != 0 ]] || mariadb_as_root=(--user=root)

mariadb_launch() {
    local part=$1 dir
    dir=$(part_dir "$part")
    spawn "$part" mariadbd --defaults-file="$CONFIG_DIR/$part.cnf" "${mariadb_as_root[@]}" --datadir="$dir/data" \
        --bind-address=127.0.0.1 --port="$(port_of "$part")" --socket="$(socket_path "$part")" \
        --pid-file="$dir/data/mariadbd.pid"
}

# sql_answers PART
sql_answers() {
    mariadb --no-defaults --host=127.0.0.1 --port="$(port_of "$1")" --user=root --connect-timeout=2 \
        --execute='SELECT 1' >/dev/null 2>&1
}

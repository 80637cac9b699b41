# shellcheck shell=bash
# OceanBase as one process: seekdb, whose server binary ships in a Python wheel. The wheel is tagged
# for CPython 3.11 but only unpacked, so the machine's Python does not matter.

readonly SEEKDB_VERSION=1.4.0.post1

oceanbase_home() { printf '%s/seekdb-%s' "$CACHE_DIR" "$SEEKDB_VERSION"; }

oceanbase_prepare() {
    ensure_command mariadb mariadb-client
    cached "seekdb-$SEEKDB_VERSION" python_wheel "OceanBase seekdb $SEEKDB_VERSION (54 MB)" \
        "pylibseekdb==$SEEKDB_VERSION" 3.11
    local data
    data=$(part_dir oceanbase)/data
    # seekdb cannot go on with what a bootstrap has left that was killed or ran out of time.
    if [[ -d $data && ! -f $data/was-ready ]]; then
        say "oceanbase: removing data of a server that never was ready, and beginning anew …"
        rm -rf "${data:?}"
    fi
    mkdir -p "$data"
}

oceanbase_launch() {
    local home
    home=$(oceanbase_home)
    chmod +x "$home/pylibseekdb/seekdb"
    spawn oceanbase env LD_LIBRARY_PATH="$home/pylibseekdb:$home/pylibseekdb.libs" \
        "$home/pylibseekdb/seekdb" --nodaemon --port "$(port_of oceanbase)" \
        --base-dir "$(part_dir oceanbase)/data" \
        --parameter memory_limit=2G --parameter log_disk_size=2G --parameter datafile_size=1G
}

# seekdb listens on every address and has no setting for that; it can only be told whom to let in.
oceanbase_ready() {
    mariadb --no-defaults --host=127.0.0.1 --port="$(port_of oceanbase)" --user=root --connect-timeout=2 \
        --execute="SET GLOBAL ob_tcp_invited_nodes = '127.0.0.1,::1'" >/dev/null 2>&1 &&
        : >"$(part_dir oceanbase)/data/was-ready"
}

# shellcheck shell=bash
# Downloads, kept in CACHE_DIR for every checkout of this user. A download is made in a folder *.part and
# moved into place when whole, so an interrupted one is simply made again.

readonly MAVEN_DEPENDENCY=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

# cached NAME MAKER… makes CACHE_DIR/NAME by `MAKER… FOLDER` unless it is there.
cached() {
    local name=$1 folder=$CACHE_DIR/$1 fd
    shift
    [[ ! -d $folder ]] || return 0
    mkdir -p "$CACHE_DIR"
    exec {fd}>"$CACHE_DIR/lock"
    flock -n "$fd" || { say "waiting for another checkout's download …" && flock "$fd"; }
    if [[ ! -d $folder ]]; then
        rm -rf "$folder.part"
        mkdir -p "$folder.part"
        local start
        start=$(now_ms)
        "$@" "$folder.part"
        mv "$folder.part" "$folder"
        say "have $name, $(megabytes "$folder") MB, after $(seconds_since "$start") s"
    fi
    exec {fd}>&-
}

# with_progress TITLE FOLDER COMMAND… runs it quietly, and says every few seconds how far it is. Not in a subshell: what
# ends this script would not reach it.
with_progress() {
    local title=$1 folder=$2 log=$CACHE_DIR/download.log worker shown outcome=0
    shift 2
    say "downloading $title …"
    # A background job ignores Ctrl-C, and would go on alone and hold the locks. Job control makes it a process group of
    # its own, which ends with this script; the checkout's lock (9) it never has.
    set -m
    "$@" >"$log" 2>&1 </dev/null 9>&- &
    worker=$!
    set +m
    # shellcheck disable=SC2064  # this worker
    trap "end_group $worker" EXIT
    shown=$(now_ms)
    while kill -0 "$worker" 2>/dev/null; do
        sleep "$POLL_SECONDS"
        if (($(now_ms) - shown > 5000)); then
            say "downloading $title … $(grep -c '^.*Downloaded ' "$log" || true) files, $(megabytes "$folder") MB in place"
            shown=$(now_ms)
        fi
    done
    wait "$worker" || outcome=$?
    trap - EXIT
    if ((outcome != 0)); then
        grep -v 'Download' "$log" | tail -n "$LOG_LINES_ON_FAILURE" | sed 's/^/    /' >&2
        die "could not download $title" "check the network and run again; whole log: $log"
    fi
}

# maven_jars TITLE COORDINATES… FOLDER: these artifacts (group:name:version) with all they need at run time.
maven_jars() {
    local title=$1 folder=${!#} pom
    local coordinates=("${@:2:$#-2}")
    ensure_java
    ensure_command mvn maven
    pom=$folder/.pom
    mkdir "$pom"
    {
        printf '<project><modelVersion>4.0.0</modelVersion><groupId>locum</groupId><artifactId>stack</artifactId>'
        printf '<version>1</version><packaging>pom</packaging><dependencies>\n'
        local group name version
        for coordinate in "${coordinates[@]}"; do
            IFS=: read -r group name version <<<"$coordinate"
            printf '<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n' \
                "$group" "$name" "$version"
        done
        printf '</dependencies></project>\n'
    } >"$pom/pom.xml"
    with_progress "$title" "$folder" mvn -B -f "$pom/pom.xml" "$MAVEN_DEPENDENCY:copy-dependencies" \
        -DincludeScope=runtime -DoutputDirectory="$folder"
    rm -rf "$pom"
}

# maven_archive TITLE ARTIFACT FOLDER: unpacks one tar.gz (group:name:version:tar.gz:classifier).
maven_archive() {
    local title=$1 artifact=$2 folder=$3
    ensure_java
    ensure_command mvn maven
    mkdir "$folder/.archive"
    with_progress "$title" "$folder" in_folder "$folder/.archive" \
        mvn -B "$MAVEN_DEPENDENCY:copy" -Dartifact="$artifact" -DoutputDirectory="$folder/.archive"
    tar -xzf "$folder"/.archive/*.tar.gz -C "$folder"
    rm -rf "$folder/.archive"
}

# python_wheel TITLE REQUIREMENT PYTHON_VERSION FOLDER: unpacks a wheel; nothing is installed into Python.
python_wheel() {
    local title=$1 requirement=$2 python=$3 folder=$4
    ensure_command unzip unzip
    ensure_command python3 python3
    python3 -m pip --version >/dev/null 2>&1 || ensure_command pip3 python3-pip
    mkdir "$folder/.archive"
    with_progress "$title" "$folder" python3 -m pip download --quiet --no-deps --only-binary :all: \
        --python-version "$python" --implementation cp --abi "cp${python/./}" -d "$folder/.archive" "$requirement"
    unzip -q "$folder"/.archive/*.whl -d "$folder"
    rm -rf "$folder/.archive"
}

in_folder() { (cd "$1" && shift && "$@"); }

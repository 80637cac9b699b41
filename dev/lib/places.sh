# shellcheck shell=bash
# Files with places to fill in: ${NAME}, taken from the environment.

# filled FILE prints it with every place filled; fails where one is not set.
filled() {
    local text place
    text=$(<"$1") || return 1
    while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
        place=${BASH_REMATCH[1]}
        if [[ ! -v $place ]]; then
            printf '%s needs %s\n' "$1" "$place" >&2
            return 1
        fi
        text=${text//"\${$place}"/"${!place}"}
    done
    printf '%s' "$text"
}

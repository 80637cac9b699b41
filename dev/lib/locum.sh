# shellcheck shell=bash
# A configuration of Locum for the parts that run here: dev/config/locum.yaml with this machine's addresses and folders.

# write_locum_config TOPIC_PREFIX. An edited tokens file is kept.
write_locum_config() {
    local text file
    text=$(sed '/^#/d' "$CONFIG_DIR/locum.yaml")
    if is_up redis; then
        instead_of redis:6379 "127.0.0.1:$(port_of redis)"
    else
        text=$(sed '/^redis:/d' <<<"$text")
    fi
    instead_of 0.0.0.0: 127.0.0.1:
    instead_of /var/lib/locum "$STACK_DIR/locum-state"
    instead_of tidb:4000 "127.0.0.1:$(port_of mariadb)"
    instead_of kafka:9092 "127.0.0.1:$(port_of kafka)"
    instead_of core:7001 "127.0.0.1:$(port_of core)"
    instead_of 'topic_prefix: core' "topic_prefix: $1"
    instead_of ../../ "$ROOT/"
    printf '# Written by dev/stack from dev/config/locum.yaml.\n%s\n' "$text" >"$STACK_DIR/locum.yaml"
    for file in tokens.yaml operator.token; do
        [[ -s $STACK_DIR/$file ]] || cp "$CONFIG_DIR/$file" "$STACK_DIR/$file"
    done
    say "try: cargo run --release -- serve --config ${STACK_DIR#"$ROOT/"}/locum.yaml"
}

# instead_of THERE HERE changes `text`, in which THERE must occur.
instead_of() {
    [[ $text == *"$1"* ]] || die "dev/config/locum.yaml does not say $1" "change it together with dev/lib/locum.sh"
    text=${text//"$1"/"$2"}
}

# shellcheck shell=bash
# Redis without persistence.

redis_prepare() {
    ensure_command redis-server redis-server redis-server
    ensure_command redis-cli redis-tools
    mkdir -p "$(part_dir redis)/data"
}

redis_launch() {
    spawn redis redis-server "$CONFIG_DIR/redis.conf" --bind 127.0.0.1 --port "$(port_of redis)" --daemonize no \
        --dir "$(part_dir redis)/data"
}

redis_ready() { [[ $(timeout 2 redis-cli -h 127.0.0.1 -p "$(port_of redis)" ping 2>/dev/null) == PONG ]]; }

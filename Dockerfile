# syntax=docker/dockerfile:1
# Two images: `locum` (the default), which also holds the simulated core, and `connect`, a Kafka Connect worker with
# Debezium's MariaDB connector. docker-compose.yml builds both.

ARG KAFKA_VERSION=4.1.1
ARG DEBEZIUM_VERSION=3.5.0.Final

# It brings make and a C++ compiler, from which librdkafka is built.
FROM rust:1.89-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked -p locum-server -p locum-core-sim \
    && install -D -t /out target/release/locum target/release/core-sim

FROM quay.io/debezium/connect:${DEBEZIUM_VERSION} AS debezium

FROM apache/kafka:${KAFKA_VERSION} AS connect
COPY --from=debezium /kafka/connect/debezium-connector-mariadb /opt/plugins/debezium-connector-mariadb

FROM debian:bookworm-slim AS locum
# curl asks for health, and hands connectors to Connect.
RUN apt-get update && apt-get install -y --no-install-recommends curl zlib1g && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin locum \
    && install -d -o locum -g locum -m 700 /var/lib/locum
COPY --from=build /out/ /usr/local/bin/
USER 10001
WORKDIR /locum
EXPOSE 8080 8081
CMD ["locum", "serve", "--config", "/locum/locum.yaml"]

#!/usr/bin/env bash
# Fetches and builds the peers and foreign load programs of peers/run.sh below .cache/peers: Apache Kafka's jars (Maven),
# librdkafka's rdkafka_performance (cargo for the sources, a C compiler).
set -eu
cd "$(dirname "$0")/../.."
peers=$PWD/.cache/peers
mkdir -p "$peers"

if [ ! -f "$peers/kafka/complete" ]; then
  mvn --quiet --batch-mode -Dstyle.color=never -f bench/peers/kafka dependency:copy-dependencies "-DoutputDirectory=$peers/kafka"
  touch "$peers/kafka/complete"
fi

if [ ! -x "$peers/rdkafka_performance" ]; then
  rm -rf "$peers/vendor"
  cargo vendor --quiet --locked --manifest-path bench/peers/librdkafka/Cargo.toml "$peers/vendor" >/dev/null
  (
    cd "$peers/vendor/rdkafka-sys/librdkafka"
    ./configure --disable-sasl --disable-ssl --disable-curl --enable-static
    make -j"$(nproc)" -C src
    make -C examples rdkafka_performance
  ) >"$peers/librdkafka.log" 2>&1 || { tail "$peers/librdkafka.log" >&2; exit 1; }
  cp "$peers/vendor/rdkafka-sys/librdkafka/examples/rdkafka_performance" "$peers/"
fi

#!/usr/bin/env bash
# Fetches and builds the peers and foreign load programs of peers/run.sh below .cache/peers: Apache Kafka's jars (Maven),
# librdkafka's rdkafka_performance (cargo for the sources, a C compiler), birdayz/kstreams (git).
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

kstreams=8f0a81e6a240ed8ee9a0d13e8b767684b39c1fb2
if [ ! -d "$peers/kstreams" ]; then
  git init --quiet "$peers/kstreams.new"
  git -C "$peers/kstreams.new" fetch --quiet --depth 1 https://github.com/birdayz/kstreams "$kstreams"
  git -C "$peers/kstreams.new" checkout --quiet FETCH_HEAD
  mv "$peers/kstreams.new" "$peers/kstreams"
fi
(cd bench/peers/kstreams && go build -o "$peers/kstreamsload" .)

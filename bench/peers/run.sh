#!/usr/bin/env bash
# The broker beside Apache Kafka and NATS JetStream, with the same clients, in turn, in one run.
#
#   bench/peers/run.sh [row ...]      rows a-k, default all; bench/README.md says what each measures
#   RUNS=5 MB=512 bench/peers/run.sh a c
set -eu
cd "$(dirname "$0")/../.."
. bench/servers.sh
[ -n "${MILLRACE_BENCH_INSIDE:-}" ] || bench/peers/setup.sh
prepare "$PWD/bench/peers/run.sh" "$@"
[ $# -gt 0 ] || set -- a b c d e f g h i j k

java_tool() { echo java -Xmx512M -cp "$peers/kafka/*" "org.apache.kafka.tools.$1"; }
timed() { local s=$1; shift; "$bin/timed" -n "$RUNS" -pid "$pid" -label "$s" "$@" | grep -v '^#' || exit 1; }

# kafka_perf SERVER SIZE: Kafka's own ProducerPerformance and ConsumerPerformance.
kafka_perf() {
  local s=$1 size=$2 records; records=$((MB * 1000000 / size)); start "$s"
  set -f
  timed "$s" -what "ProducerPerformance ${size}B" -unit MiB/s -figure 'records/sec \(([0-9.]+) MB/sec\), .*99.9th' -gb "$(awk "BEGIN{print $MB/1000}")" -- \
    $(java_tool ProducerPerformance) --topic "perf-{run}" --num-records "$records" --record-size "$size" --throughput -1 --bootstrap-server "127.0.0.1:$port"
  timed "$s" -what "ConsumerPerformance ${size}B" -unit MiB/s -figure ', ([0-9.]+), [0-9.]+\s*$' -gb "$(awk "BEGIN{print $MB/1000}")" -- \
    $(java_tool ConsumerPerformance) --topic "perf-{run}" --num-records "$records" --bootstrap-server "127.0.0.1:$port"
  set +f
  stop
}

# librdkafka SERVER SIZE: rdkafka_performance.
librdkafka() {
  local s=$1 size=$2 records; records=$((MB * 1000000 / size)); start "$s"
  timed "$s" -what "rdkafka_performance -P ${size}B" -unit MB/s -figure 'msgs/s and ([0-9.]+) MB/s' -gb "$(awk "BEGIN{print $MB/1000}")" -- \
    "$peers/rdkafka_performance" -P -t "perf-{run}" -s "$size" -c "$records" -a -1 -b "127.0.0.1:$port" -X linger.ms=5 -X queue.buffering.max.messages=1000000
  timed "$s" -what "rdkafka_performance -C ${size}B" -unit MB/s -figure 'msgs/s \(([0-9.]+) MB/s' -gb "$(awk "BEGIN{print $MB/1000}")" -- \
    "$peers/rdkafka_performance" -C -t "perf-{run}" -p 0 -o beginning -c "$records" -b "127.0.0.1:$port"
  stop
}

rowa() { for s in kafka millrace millrace-os; do blast $s -recs 500 -size 100; blast $s -recs 60 -size 1000; done; MB=$((MB / 4)) blast kafka-sync -nofetch; }
rowb() { for s in kafka millrace millrace-os; do blast $s -conns 16; blast $s -conns 16 -recs 60 -size 1000; done; }
rowc() { for c in gzip snappy lz4 zstd; do for s in kafka millrace millrace-os; do blast $s -codec $c; done; done; }
rowd() { for s in kafka millrace millrace-os; do load $s; load $s -size 1000 -records 400000; done; nats; nats -size 1000 -records 300000; }
rowe() { for s in kafka millrace millrace-os; do kafka_perf $s 100; kafka_perf $s 1000; done; }
rowf() { for s in kafka millrace millrace-os; do librdkafka $s 100; librdkafka $s 1000; done; }
rowg() { for s in kafka millrace millrace-os; do for rate in 10000 50000; do
           start $s; "$bin/kload" -brokers "127.0.0.1:$port" -pid "$pid" -label "$s" -n "$RUNS" -mode e2e -rate $rate | grep -v '^# what'; stop; done; done; }
rowh() { local d="$work/data-start" p=19099
         "$bin/startlim" -n 5 -addr 127.0.0.1:$p -clean "$d" "$bin/millrace" serve --data-dir "$d" --listen 127.0.0.1:$p --http none
         rm -rf "$d"; FORMAT_ONLY=1 bench/peers/kafka/start.sh "$peers/kafka" "$d" $p
         "$bin/startlim" -n 5 -addr 127.0.0.1:$p bench/peers/kafka/start.sh "$peers/kafka" "$d" $p; rm -rf "$d"; }
rowi() { local d="$work/data-scale" p=19098
         for mode in "partitions 10000" "groups 100000" "connections 5000"; do
           # shellcheck disable=SC2086
           set -- $mode
           "$bin/scale" -mode "$1" -count "$2" -label kafka -addr 127.0.0.1:$p -clean "$d" -- bench/peers/kafka/start.sh "$peers/kafka" "$d" $p 2>"$work/scale.log"
         done; rm -rf "$d"; }
rowj() { for s in kafka millrace millrace-os; do txns $s; txns $s -c 16; txns $s -consume; done; }
rowk() { start millrace
         "$peers/kstreamsload" -broker "127.0.0.1:$port" -n "$RUNS" -dir "$work/data-stores" | grep -v '^# what'
         "$bin/streamload" -broker "127.0.0.1:$port" -pid "$pid" -n "$RUNS" -dir "$work/data-stores" | grep -v '^# what'; stop; }

machine
"$bin/warmmem" -gb 6 -dir "$work"
for r in "$@"; do echo; echo "## row $r"; "row$r"; done

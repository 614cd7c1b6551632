#!/usr/bin/env bash
# Formats DIR and runs Apache Kafka on 127.0.0.1:PORT in the foreground, as one KRaft node, until it is killed.
#
#   bench/peers/kafka/start.sh JARS DIR PORT [key=value ...]
#
# The settings are those of the server.properties that Kafka ships, and its defaults where that says nothing; heap and
# collector are those of its kafka-server-start.sh. What differs is said here: the directory and the ports, and two
# settings without which a single node cannot hold its own internal topics (Kafka's file sets them too).
set -eu
jars=$1 dir=$2 port=$3; shift 3
mkdir -p "$dir"
{
  cat <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 20000))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 20000))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=$dir/data
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
EOF
  printf '%s\n' "$@"
} >"$dir/server.properties"
if [ ! -f "$dir/data/meta.properties" ]; then
  java -cp "$jars/*" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAg -c "$dir/server.properties" >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; exit 1; }
fi
[ -n "${FORMAT_ONLY:-}" ] && exit
exec java -Xmx1G -Xms1G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
  -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true -cp "$jars/*" kafka.Kafka "$dir/server.properties"

#!/usr/bin/env bash
# The broker beside its ceiling (rawsrv) and its peers (kfake, NATS JetStream), in turn, in one run.
#
#   bench/run.sh [row ...]      rows 1-10, default all; see bench/README.md for what each row measures
#   RUNS=5 MB=1024 bench/run.sh 1 5
#
# As root it moves itself into a private network namespace whose loopback uses reno: a system default of bbr paces
# loopback and falsifies every figure. Nothing outside the namespace is changed.
set -eu
cd "$(dirname "$0")/.."
RUNS=${RUNS:-5} MB=${MB:-1024}
bin=$PWD/bin
work=${BENCH_DIR:-$PWD/.cache/bench}

if [ -z "${MILLRACE_BENCH_INSIDE:-}" ]; then
  mkdir -p "$bin" "$work"
  CGO_ENABLED=0 go build -trimpath -o "$bin/millrace" ./cmd/millrace
  (cd bench && go build -o "$bin/" ./... && go build -o "$bin/nats-server" github.com/nats-io/nats-server/v2)
  if [ "$(id -u)" = 0 ] && command -v unshare >/dev/null && command -v ip >/dev/null; then
    MILLRACE_BENCH_INSIDE=1 exec unshare -n bash -c \
      'ip link set lo up; echo reno >/proc/sys/net/ipv4/tcp_congestion_control; exec bash "$0" "$@"' "$PWD/bench/run.sh" "$@"
  fi
  echo "# not root, or no iproute2: figures under the system's $(cat /proc/sys/net/ipv4/tcp_congestion_control)" >&2
fi
[ $# -gt 0 ] || set -- 1 2 3 4 5 6 7 8 9 10

pid= port=19100
trap 'stop' EXIT
stop() { [ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; pid=; }; rm -rf "$work"/data-*; }
ready() { for _ in $(seq 200); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return; sleep 0.05; done; echo "no server on $port" >&2; exit 1; }
start() { # start NAME: a server on a new port, its process id in $pid
  port=$((port + 1)); local d="$work/data-$port"; mkdir -p "$d"
  case $1 in
    millrace-os)   "$bin/millrace" serve --data-dir "$d" --listen "127.0.0.1:$port" --http "127.0.0.1:$((port + 1000))" -X millrace.flush=os 2>"$work/$1.log" & ;;
    millrace)      "$bin/millrace" serve --data-dir "$d" --listen "127.0.0.1:$port" --http "127.0.0.1:$((port + 1000))" 2>"$work/$1.log" & ;;
    millrace-direct) "$bin/millrace" serve --data-dir "$d" --listen "127.0.0.1:$port" --http "127.0.0.1:$((port + 1000))" -X millrace.write=direct 2>"$work/$1.log" & ;;
    rawsrv-send)   "$bin/rawsrv" -addr "127.0.0.1:$port" -dir "$d" -sendfile & ;;
    rawsrv-*)      "$bin/rawsrv" -addr "127.0.0.1:$port" -dir "$d" -store "${1#rawsrv-}" & ;;
    kfake)         "$bin/kfakesrv" -port "$port" >/dev/null & ;;
    nats)          "$bin/nats-server" -a 127.0.0.1 -p "$port" -js -sd "$d" >/dev/null 2>&1 & ;;
  esac
  pid=$!; ready
}
blast() { local s=$1; shift; start "$s"; "$bin/kblast" -broker "127.0.0.1:$port" -pid "$pid" -label "$s" -n "$RUNS" -bytes $((MB * 1000000)) "$@" | grep -v '^# what'; stop; }
load()  { local s=$1; shift; start "$s"; "$bin/kload" -brokers "127.0.0.1:$port" -pid "$pid" -label "$s" -n "$RUNS" "$@" | grep -v '^# what'; stop; }
nats()  { start nats; "$bin/natsload" -url "nats://127.0.0.1:$port" -pid "$pid" -n "$RUNS" "$@" | grep -v '^# what'; stop; }
small=$((MB / 40 + 1))

row1() { for s in rawsrv-page rawsrv-mem millrace-os kfake; do blast $s -nofetch; blast $s -nofetch -recs 5000; done; }
row2() { for s in rawsrv-group rawsrv-direct millrace millrace-direct; do blast $s -nofetch -depth 64; done; }
row3() { for s in rawsrv-group rawsrv-direct millrace millrace-direct; do blast $s -nofetch -depth 5; done; }
row4() { for s in rawsrv-page millrace-os kfake; do MB=$small blast $s -nofetch -recs 1 -depth 64; done
         for s in rawsrv-group millrace; do MB=$small blast $s -nofetch -recs 1 -depth 64; done; }
row5() { for s in rawsrv-send millrace-os kfake; do blast $s; blast $s -recs 5000; done; }
row6() { for s in rawsrv-send millrace-os kfake; do load $s; load $s -size 1000 -records 400000; done; nats; nats -how fast; }
row7() { for s in rawsrv-page millrace-os kfake; do load $s -mode ack -d 3s; done
         for s in rawsrv-group millrace millrace-direct; do load $s -mode ack -d 3s; done; nats -mode ack -d 3s; }
row8() { for s in rawsrv-page millrace-os kfake rawsrv-group millrace; do load $s -mode e2e -rate 10000; load $s -mode e2e -rate 100000; done; }
row9() { for c in lz4 zstd; do for s in rawsrv-send millrace-os; do blast $s -codec $c; done; done; }
row10() { "$bin/startlim" -n 7 -addr 127.0.0.1:19099 -clean "$work/data-start" "$bin/millrace" serve --data-dir "$work/data-start" --listen 127.0.0.1:19099 --http 127.0.0.1:19098
          blast millrace-os; }

echo "# $(go version), $(uname -r), $(nproc) cpus, $(cat /proc/sys/net/ipv4/tcp_congestion_control), commit $(git rev-parse --short HEAD)"
"$bin/warmmem" -gb 6 -dir "$work"
for r in "$@"; do echo; echo "## row $r"; "row$r"; done

# What run.sh and peers/run.sh share: a private network namespace, building, and servers on ports of their own.
# Sourced with the repository's root as the working directory.

RUNS=${RUNS:-5} MB=${MB:-1024}
bin=$PWD/bin
work=${BENCH_DIR:-$PWD/.cache/bench}
peers=$PWD/.cache/peers

# prepare SCRIPT ARGUMENT...: builds, then runs the script again in a namespace whose loopback uses reno (README.md).
prepare() {
  [ -z "${MILLRACE_BENCH_INSIDE:-}" ] || return 0
  mkdir -p "$bin" "$work"
  CGO_ENABLED=0 go build -trimpath -o "$bin/millrace" ./cmd/millrace
  (cd bench && go build -o "$bin/" ./... && go build -o "$bin/nats-server" github.com/nats-io/nats-server/v2)
  if [ "$(id -u)" = 0 ] && command -v unshare >/dev/null && command -v ip >/dev/null; then
    MILLRACE_BENCH_INSIDE=1 exec unshare -n bash -c \
      'ip link set lo up; echo reno >/proc/sys/net/ipv4/tcp_congestion_control; exec bash "$0" "$@"' "$@"
  fi
  echo "# not root, or no iproute2: figures under the system's $(cat /proc/sys/net/ipv4/tcp_congestion_control)" >&2
}

pid= port=19100
trap 'stop' EXIT
stop() { [ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; pid=; }; rm -rf "$work"/data-*; }
ready() { for _ in $(seq 600); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return; sleep 0.05; done; echo "no server on $port" >&2; exit 1; }
start() { # start NAME: a server on a new port, its process id in $pid
  port=$((port + 1)); local d="$work/data-$port"; mkdir -p "$d"
  case $1 in
    millrace-os)   "$bin/millrace" serve --data-dir "$d" --listen "127.0.0.1:$port" --http "127.0.0.1:$((port + 1000))" -X millrace.flush=os 2>"$work/$1.log" & ;;
    millrace)      "$bin/millrace" serve --data-dir "$d" --listen "127.0.0.1:$port" --http "127.0.0.1:$((port + 1000))" 2>"$work/$1.log" & ;;
    millrace-direct) "$bin/millrace" serve --data-dir "$d" --listen "127.0.0.1:$port" --http "127.0.0.1:$((port + 1000))" -X millrace.write=direct 2>"$work/$1.log" & ;;
    kafka)         bench/peers/kafka/start.sh "$peers/kafka" "$d" "$port" >"$work/$1.log" 2>&1 & ;;
    kafka-sync)    bench/peers/kafka/start.sh "$peers/kafka" "$d" "$port" log.flush.interval.messages=1 >"$work/$1.log" 2>&1 & ;;
    rawsrv-send)   "$bin/rawsrv" -addr "127.0.0.1:$port" -dir "$d" -sendfile & ;;
    rawsrv-*)      "$bin/rawsrv" -addr "127.0.0.1:$port" -dir "$d" -store "${1#rawsrv-}" & ;;
    kfake)         "$bin/kfakesrv" -port "$port" >/dev/null & ;;
    nats)          "$bin/nats-server" -a 127.0.0.1 -p "$port" -js -sd "$d" >/dev/null 2>&1 & ;;
  esac
  pid=$!; ready
}
blast() { local s=$1; shift; start "$s"; "$bin/kblast" -broker "127.0.0.1:$port" -pid "$pid" -label "$s" -n "$RUNS" -bytes $((MB * 1000000)) "$@" | grep -v '^# what'; stop; }
load()  { local s=$1; shift; start "$s"; "$bin/kload" -brokers "127.0.0.1:$port" -pid "$pid" -label "$s" -n "$RUNS" "$@" | grep -v '^# what'; stop; }
txns()  { local s=$1; shift; start "$s"; "$bin/txnload" -brokers "127.0.0.1:$port" -pid "$pid" -label "$s" -n "$RUNS" -dir "$work" "$@" | grep -v '^# what'; stop; }
streams() { local s=$1; shift; start "$s"; "$bin/streamload" -broker "127.0.0.1:$port" -pid "$pid" -label "$s " -n "$RUNS" -dir "$work/data-stores" "$@" | grep -v '^# what'; stop; }
nats()  { start nats; "$bin/natsload" -url "nats://127.0.0.1:$port" -pid "$pid" -n "$RUNS" "$@" | grep -v '^# what'; stop; }

machine() { echo "# $(go version), $(uname -r), $(nproc) cpus, $(cat /proc/sys/net/ipv4/tcp_congestion_control), commit $(git rev-parse --short HEAD)"; }

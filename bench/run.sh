#!/usr/bin/env bash
# The broker beside its ceiling (rawsrv) and its peers (kfake, NATS JetStream), in turn, in one run.
#
#   bench/run.sh [row ...]      rows 1-18, default all; see bench/README.md for what each row measures
#   RUNS=5 MB=1024 bench/run.sh 1 5
#
# As root it moves itself into a private network namespace whose loopback uses reno: a system default of bbr paces
# loopback and falsifies every figure. Nothing outside the namespace is changed.
set -eu
cd "$(dirname "$0")/.."
. bench/servers.sh
prepare "$PWD/bench/run.sh" "$@"
[ $# -gt 0 ] || set -- 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18
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
row11() { local d="$work/data-scale" p=19098
          for mode in "partitions 10000" "groups 100000" "connections 5000"; do
            # shellcheck disable=SC2086
            set -- $mode
            "$bin/scale" -mode "$1" -count "$2" -label millrace -addr 127.0.0.1:$p -clean "$d" -- "$bin/millrace" serve --data-dir "$d" --listen 127.0.0.1:$p --http none -X max.connections.per.ip=10000 2>"$work/scale.log"
          done; rm -rf "$d"; }
row12() { "$bin/compactlim" -mode year -binary "$bin/millrace" -dir "$work/data-year" -n "$RUNS"; }
row13() { "$bin/compactlim" -mode pass -dir "$work/data-pass" -mb "$MB" -n "$RUNS"
          "$bin/compactlim" -mode foreground -binary "$bin/millrace" -dir "$work/data-foreground" -mb $((4 * MB)) -n "$RUNS"; }
row14() { txns millrace; txns millrace -c 16; txns millrace -partitions 16; txns millrace -old; txns millrace -consume; }
row15() { go test ./streams -run NONE -bench 'Stateless|100k' -benchtime 20000000x -count "$RUNS" | grep ns/op
          go test ./state -run NONE -bench 'Count|Flush|Restore' -benchtime 10000000x -count "$RUNS" | grep ns/op; "$bin/streamlim" -n "$RUNS"; }
row16() { for k in 100000 1000 1000000; do
            for s in rawsrv-page millrace; do start $s; "$bin/streamlim" -broker "127.0.0.1:$port" -pid "$pid" -keys $k -n "$RUNS" | grep -v '^# what'; stop; done
            streams millrace -keys $k; done; }
row17() { streams millrace -loose; streams millrace -loose -commit 1s; }
row18() { start millrace-os; "$bin/streamload" -mode restart -broker "127.0.0.1:$port" -dir "$work/data-stores" -keys "${KEYS:-5000000}" -n "$RUNS"; stop; }

machine
"$bin/warmmem" -gb 6 -dir "$work"
for r in "$@"; do echo; echo "## row $r"; "row$r"; done

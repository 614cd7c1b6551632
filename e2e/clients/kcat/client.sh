#!/usr/bin/env bash
# kcat (librdkafka as the distribution ships it): the verbs of ../README.md.
set -u
verb=$1 broker=$2 name=$3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0
ok() { echo "ok $1"; }
fail() { echo "fail $1: $2"; bad=1; }

codec() { # codec NAME
  local topic="$name-$1"
  seq 1 500 | sed "s/^/$1 record number /" >"$tmp/in"
  kcat -b "$broker" -P -t "$topic" -p 0 -z "$1" -X linger.ms=20 -X compression.codec="$1" "$tmp/in" -l 2>"$tmp/err" || { fail "produce-$1" "$(tail -n 1 "$tmp/err")"; return; }
  if grep -q 'not compressing' "$tmp/err"; then fail "produce-$1" "$(grep -m 1 'not compressing' "$tmp/err")"; return; fi
  timeout 120 kcat -b "$broker" -C -t "$topic" -p 0 -o beginning -e -q >"$tmp/out" 2>"$tmp/err" || { fail "produce-$1" "$(tail -n 1 "$tmp/err")"; return; }
  if cmp -s "$tmp/in" "$tmp/out"; then ok "produce-$1"; else fail "produce-$1" "read back $(wc -l <"$tmp/out") of 500 lines, or others"; fi
}

create() { # kcat creates topics by asking for them
  echo x | kcat -b "$broker" -P -t "$name-create" 2>"$tmp/err" && kcat -b "$broker" -L -t "$name-create" 2>&1 | grep -q 'partition 0, leader' && ok create || fail create "$(tail -n 1 "$tmp/err")"
}

group() { # two balanced consumers share the topic; one leaves; the other sees the rest
  local topic="$name-group"
  seq 1 100 | kcat -b "$broker" -P -t "$topic" || { fail group-eager "produce"; return; }
  kcat -b "$broker" -G "$name-g" -X auto.offset.reset=earliest -X session.timeout.ms=6000 -u -q "$topic" >"$tmp/a" 2>"$tmp/aerr" & local a=$!
  kcat -b "$broker" -G "$name-g" -X auto.offset.reset=earliest -X session.timeout.ms=6000 -u -q "$topic" >"$tmp/b" 2>"$tmp/berr" & local b=$!
  await 100 || { kill $a $b; fail group-eager "saw $(cat "$tmp/a" "$tmp/b" | sort -un | wc -l) of 100"; return; }
  kill -INT $a; wait $a 2>/dev/null
  seq 101 200 | kcat -b "$broker" -P -t "$topic"
  await 200 || { kill $b; fail group-eager "after one left: saw $(cat "$tmp/a" "$tmp/b" | sort -un | wc -l) of 200"; return; }
  kill -INT $b; wait $b 2>/dev/null
  ok group-eager
}
await() { local i; for i in $(seq 1200); do [ "$(cat "$tmp/a" "$tmp/b" | sort -un | wc -l)" -ge "$1" ] && return 0; sleep 0.1; done; return 1; }

resume() { # a group stops after 40 of 100 and comes back at the 41st
  local topic="$name-resume"
  seq 1 100 | kcat -b "$broker" -P -t "$topic" -p 0
  timeout 120 kcat -b "$broker" -G "$name-gr" -X auto.offset.reset=earliest -c 40 -q "$topic" >"$tmp/first" 2>"$tmp/err"
  timeout 120 kcat -b "$broker" -G "$name-gr" -X auto.offset.reset=earliest -c 1 -q "$topic" >"$tmp/next" 2>>"$tmp/err"
  if [ "$(cat "$tmp/next")" = 41 ]; then ok resume; else fail resume "came back at '$(cat "$tmp/next")', not 41"; fi
}

seektime() {
  local topic="$name-time" at
  seq 1 5 | kcat -b "$broker" -P -t "$topic" -p 0; sleep 1.2
  at=$(($(date +%s%N) / 1000000)); sleep 0.2
  seq 6 9 | kcat -b "$broker" -P -t "$topic" -p 0
  timeout 120 kcat -b "$broker" -C -t "$topic" -p 0 -o "s@$at" -e -q >"$tmp/out" 2>"$tmp/err"
  if [ "$(head -n 1 "$tmp/out")" = 6 ]; then ok seek-time; else fail seek-time "began at '$(head -n 1 "$tmp/out")', not 6"; fi
}

idempotent() {
  seq 1 1000 | kcat -b "$broker" -P -t "$name-idempotent" -p 0 -X enable.idempotence=true 2>"$tmp/err" || { fail idempotent "$(tail -n 1 "$tmp/err")"; return; }
  if [ "$(timeout 120 kcat -b "$broker" -C -t "$name-idempotent" -p 0 -o beginning -e -q -f '%o:%s\n' | awk -F: '$2 != $1 + 1' | wc -l)" = 0 ]; then ok idempotent; else fail idempotent "order"; fi
}

committed() { # committed TOPIC: what a reader of committed records sees, in one line
  timeout 120 kcat -b "$broker" -C -t "$1" -p 0 -o beginning -e -q -X isolation.level=read_committed 2>>"$tmp/err" | tr '\n' ' '
}

transact() { # transact TOPIC VALUES...: one transaction, which kcat commits at the end of its input
  local topic=$1; shift
  printf '%s\n' "$@" | timeout 120 kcat -b "$broker" -P -t "$topic" -p 0 -X transactional.id="$topic" 2>"$tmp/err"
}

open_transaction() { # open_transaction TOPIC VALUE: many records, in a transaction that ends when descriptor 8 is closed; kcat reads in blocks
  local topic=$1 i; mkfifo "$tmp/$topic"
  kcat -b "$broker" -P -t "$topic" -p 0 -X transactional.id="$topic" -X linger.ms=0 <"$tmp/$topic" 2>"$tmp/opened" 8>&- & opened=$!
  exec 8>"$tmp/$topic"
  seq -f "$2 %g" 3000 >&8
  for i in $(seq 600); do
    timeout 120 kcat -b "$broker" -C -t "$topic" -p 0 -o beginning -e -q -X isolation.level=read_uncommitted 2>/dev/null | grep -qx "$2 1" && return 0
    sleep 0.1
  done
  return 1
}

transactions() {
  local topic="$name-transactions"
  transact "$topic" kept 'kept too' || { fail transactions "$(tail -n 1 "$tmp/err")"; return; }
  open_transaction "$topic" dropped || { kill $opened; fail transactions "an open one is not read"; return; }
  local before; before=$(committed "$topic")
  kill -INT $opened; exec 8>&-; wait $opened # which leaves it open, until a producer with the same id comes
  transact "$topic" last || { fail transactions "$(tail -n 1 "$tmp/err")"; return; }
  ok transactions
  local after; after=$(committed "$topic")
  if [ "$before" = 'kept kept too ' ] && [ "$after" = 'kept kept too last ' ]; then ok read-committed; else fail read-committed "read '$before', then '$after'"; fi
}

fencing() { # of two with one id the older is refused, and what it had sent is aborted
  local topic="$name-fencing"
  kcat -b "$broker" -L -t "$topic" >/dev/null 2>&1
  open_transaction "$topic" old || { kill $opened; fail fencing "an open one is not read"; return; }
  transact "$topic" new || { kill $opened; fail fencing "$(tail -n 1 "$tmp/err")"; return; }
  exec 8>&-
  if wait $opened; then fail fencing "the older one committed"; return; fi
  if ! grep -qi fenced "$tmp/opened"; then fail fencing "the older one was told $(tail -n 1 "$tmp/opened")"; return; fi
  if [ "$(committed "$topic")" = 'new ' ]; then ok fencing; else fail fencing "read '$(committed "$topic")'"; fi
}

case $verb in
features)
  echo "version the distribution's"
  create; group; resume; seektime; idempotent; transactions; fencing
  echo "skip transactional-offsets: kcat does not consume and produce at once"
  for c in none gzip snappy lz4 zstd; do codec "$c"; done
  exit $bad ;;
load)
  # kcat prints no acknowledgements, so one record a call: exit 0 means delivered. Offsets are unknown: -1.
  i=0
  while :; do
    read -r -t 0.01 _
    [ $? -gt 128 ] || break # end of input, not the time limit
    if echo "$i" | timeout 20 kcat -b "$broker" -P -t "$name" -p 0 -X enable.idempotence=true -X message.timeout.ms=15000 -X topic.message.timeout.ms=15000 2>/dev/null; then
      echo "acked $i 0 -1"
    fi
    i=$((i + 1))
  done ;;
esac

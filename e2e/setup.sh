#!/usr/bin/env bash
# Installs what the client tests need: Python environments below .cache/e2e, and kcat and strace from the distribution's packages.
# What cannot be installed here is left out with a line; the tests then skip what needs it, except in CI.
set -u
cd "$(dirname "$0")/.."
cache=$PWD/.cache/e2e
mkdir -p "$cache"

thrice() { # a download that fails is tried again
  for _ in 1 2 3; do "$@" && return; done
  echo "e2e/setup.sh: failed: $*" >&2; return 1
}

environment() { # environment NAME PACKAGE...
  local dir=$cache/$1; shift
  [ "$(cat "$dir/installed" 2>/dev/null)" = "$*" ] && return
  rm -rf "$dir"
  if python3 -m venv "$dir" && "$dir/bin/pip" install --quiet --disable-pip-version-check --retries 10 --timeout 60 "$@"; then
    echo "$*" >"$dir/installed"
  else
    rm -rf "$dir"; echo "e2e/setup.sh: no Python environment for $*" >&2
  fi
}

if command -v python3 >/dev/null; then
  environment librdkafka confluent-kafka==2.16.1
  environment kafkapython2 kafka-python==2.0.2 lz4==4.4.4 python-snappy==0.7.3 zstandard==0.23.0
  environment kafkapython3 kafka-python==3.0.12 lz4==4.4.4 python-snappy==0.7.3 zstandard==0.23.0
else
  echo "e2e/setup.sh: no python3 here" >&2
fi

if command -v go >/dev/null; then
  thrice go -C e2e/clients mod download
fi
jars=$PWD/.cache/segmentdump/kafka-4.1.0
if command -v mvn >/dev/null && [ ! -f "$jars/complete" ]; then
  thrice mvn --quiet --batch-mode -Dstyle.color=never -f e2e/segmentdump dependency:copy-dependencies "-DoutputDirectory=$jars" && touch "$jars/complete"
fi

missing=
for tool in kcat strace; do # strace lets the disk fail
  command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update -qq; apt-get install -qq -y -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 $missing; } >"$cache/apt.log" 2>&1 || { echo "e2e/setup.sh: not installed:$missing" >&2; tail -n 3 "$cache/apt.log" >&2; }
  else
    echo "e2e/setup.sh: not here, and in need of the system's package manager:$missing" >&2
  fi
fi
exit 0

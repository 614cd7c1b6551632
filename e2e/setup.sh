#!/usr/bin/env bash
# Installs what the client tests need below .cache/e2e, in the versions that the lock files beside the clients name, and a few of the
# distribution's packages. What cannot be installed here is left out with a line; the tests then skip what needs it, except in CI.
set -u
cd "$(dirname "$0")/.."
clients=$PWD/e2e/clients
cache=$PWD/.cache/e2e
mkdir -p "$cache"
exec 9>"$cache/lock" && flock 9 2>/dev/null # two at once would be in each other's way

has() { command -v "$1" >/dev/null || { echo "e2e/setup.sh: no $1 here" >&2; return 1; }; }

thrice() { # a download that fails is tried again
  for _ in 1 2 3; do "$@" && return; done
  echo "e2e/setup.sh: failed: $*" >&2; return 1
}

cached() { # cached NAME STAMP COMMAND...: makes .cache/e2e/NAME by the command, once for each stamp
  local dir=$cache/$1 stamp=$2; shift 2
  [ "$(cat "$dir/installed" 2>/dev/null)" = "$stamp" ] && return
  rm -rf "$dir"; mkdir -p "$dir"
  if "$@" "$dir" >"$dir.log" 2>&1; then
    echo "$stamp" >"$dir/installed"
  else
    tail -n 5 "$dir.log" >&2
    rm -rf "$dir"; echo "e2e/setup.sh: not installed: ${dir##*/}, see $dir.log" >&2
  fi
}

packages() { # kcat; strace lets the disk fail; the headers that librdkafka is built with, and its own
  local missing=()
  for tool in kcat strace pkg-config make g++; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  for library in libzstd:libzstd-dev zlib:zlib1g-dev openssl:libssl-dev rdkafka:librdkafka-dev; do
    pkg-config --exists "${library%:*}" 2>/dev/null || missing+=("${library#*:}")
  done
  [ "${#missing[@]}" = 0 ] && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "e2e/setup.sh: not here, and in need of the system's package manager: ${missing[*]}" >&2; return
  fi
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq; apt-get install -qq -y -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 "${missing[@]}"; } >"$cache/apt.log" 2>&1 ||
    { echo "e2e/setup.sh: not installed: ${missing[*]}" >&2; tail -n 3 "$cache/apt.log" >&2; }
}

environment() { # environment NAME REQUIREMENTS: a Python environment with just those packages
  cached "$1" "$(python3 --version) $(cat "$clients/$2")" environment_in "$clients/$2"
}
environment_in() {
  python3 -m venv "$2" && "$2/bin/pip" install --quiet --disable-pip-version-check --retries 10 --timeout 60 --no-deps -r "$1"
}

node_modules() { # node_modules NAME [BUILD]: what package-lock.json names; no package runs a script of its own
  cached "$1" "$(node --version) $(cat "$clients/$1/package-lock.json")" node_modules_in "$clients/$1" "${2:-true}"
}
node_modules_in() (
  cp "$1/package.json" "$1/package-lock.json" "$3" && cd "$3" && thrice npm ci --ignore-scripts --no-audit --no-fund && "$2"
)

# The published binary would come from a place that is no package registry. So librdkafka, whose source is in the package, is built
# with the system's libraries, and then the binding to it.
build_librdkafka_for_node() {
  local headers
  headers=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  if [ -f "$headers/include/node/common.gypi" ]; then export npm_config_nodedir=$headers; fi
  export CKJS_LINKING=dynamic npm_config_build_from_source=true
  ( cd node_modules/@confluentinc/kafka-javascript && mkdir -p build/deps && node util/configure && make -j2 -C deps/librdkafka libs ) &&
    npm rebuild --foreground-scripts @confluentinc/kafka-javascript &&
    node -e 'require("@confluentinc/kafka-javascript")'
}

jars() {
  cached jars "$(cat "$clients/java/pom.xml")" jars_in
}
jars_in() {
  thrice mvn --quiet --batch-mode -Dstyle.color=never -f "$clients/java" dependency:copy-dependencies "-DoutputDirectory=$1"
}

pythons() {
  # kafka-python 2.0.2 cannot be imported by newer ones
  if python3 -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then environment kafkapython2 kafkapython/requirements-2.txt; fi
  environment kafkapython3 kafkapython/requirements-3.txt
  environment librdkafka librdkafka/requirements.txt
  environment aiokafka aiokafka/requirements.txt
}

packages
if has go; then thrice go -C e2e/clients mod download & fi
if has mvn; then jars & fi
if has python3; then pythons & fi
if has npm; then { node_modules kafkajs; node_modules confluentjs build_librdkafka_for_node; } & fi
if has cargo; then CARGO_TARGET_DIR=$cache/rust thrice cargo build --quiet --locked --manifest-path "$clients/rust/Cargo.toml" & fi
wait
exit 0

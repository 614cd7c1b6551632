#!/usr/bin/env bash
# The end-to-end tests, with what they need installed first. Arguments go to `go test`.
set -eu
cd "$(dirname "$0")/.."
e2e/setup.sh
go test -count=1 -timeout 20m "$@" ./e2e/...

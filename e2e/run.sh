#!/usr/bin/env bash
# The end-to-end tests, with what they need installed first. Arguments go to `go test`. Clients wait more than they work: four at once.
set -eu
cd "$(dirname "$0")/.."
e2e/setup.sh
go test -count=1 -parallel 4 -timeout 20m "$@" ./e2e/...

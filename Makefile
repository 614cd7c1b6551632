# make help lists the targets.
export GOFLAGS ?=
STATICCHECK = go tool staticcheck
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: help build demo test race lint fmt e2e matrix fuzz crash cover bench peers generate clean

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## bin/millrace, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/millrace ./cmd/millrace

demo: build ## clicks counted per page and window, exactly once, through three kill -9; ends in "verified:"
	@bin/millrace demo

test: lint race e2e ## everything that must pass: formatting, vet, staticcheck, tests under the race detector, clients

race: ## all tests but e2e under the race detector; fuzz targets run over their committed corpus
	go test -race -timeout 20m $$(go list ./... | grep -v /e2e)

lint: ## gofmt, go vet, staticcheck
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi
	go vet ./...
	$(STATICCHECK) ./...
	cd bench && go vet ./...

fmt: ## format the tree
	gofmt -w $$(git ls-files '*.go')

e2e: build ## the real binary against clients in other languages (installs them; skips absent runtimes unless CI is set)
	e2e/run.sh

matrix: build ## what every client can do, into e2e/results.json and docs/KAFKA.md; all runtimes must be here
	CI=1 E2E_MATRIX=1 e2e/run.sh -run 'TestClient|TestKafkaTools'
	go generate ./broker

fuzz: ## every fuzz target for FUZZTIME each (default 30s)
	.ci/fuzz $(or $(FUZZTIME),30s)

crash: ## the long crash and kill runs
	MILLRACE_LONG=1 go test -timeout 60m -run 'Crash|Kill|Fault' ./log ./broker/... ./e2e/...

cover: ## test coverage per package
	go test -coverprofile=cover.out ./... && go tool cover -func=cover.out | tail -n 1

bench: ## the broker beside its ceiling and its peers, in one run; see bench/README.md
	bench/run.sh $(ROWS)

peers: ## the broker beside Apache Kafka and NATS, with the same clients; needs a JDK, Maven, cargo and a C compiler
	bench/peers/run.sh $(ROWS)

generate: ## docs that derive from code
	go generate ./...

clean: ## what the targets made
	rm -rf bin .cache cover.out

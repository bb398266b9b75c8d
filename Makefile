# The few verbs. `make up` and `make test` are the whole set-up on a fresh Debian 12 machine.

HANOK := target/release/hanok
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Passed on to hanok, such as: make up ARGS="--listen ADDRESS:5240" with one of this machine's
ARGS ?=

.PHONY: up down dev build test lint style bench tempest screenshots help

help:
	@echo "make up       start the whole cloud on this machine (Ctrl-C stops the control plane)"
	@echo "make down     stop it and all guests; make down ARGS=--wipe deletes all data too"
	@echo "make dev      the control plane over simulated hosts; no root, no guests"
	@echo "make test     install what the tests need and run all of them"
	@echo "make lint     rustfmt, clippy, and the types of the pages"
	@echo "make screenshots  every page of the portal as a picture, to be looked at"
	@echo "make bench    figures: medians, p99, ratios"
	@echo "make tempest  OpenStack's own test suite against a running Hanok"

up: build
	$(SUDO) $(HANOK) up $(ARGS)

# By the program that is there: what runs should not have to wait for a build.
down:
	@[ -x $(HANOK) ] || { echo "There is no $(HANOK): make up builds it, and starts the cloud." >&2; exit 1; }
	$(SUDO) $(HANOK) down $(ARGS)

dev: build
	$(HANOK) dev --data data $(ARGS)

build:
	scripts/install-deps.sh
	scripts/portal.sh
	cargo build --release --locked --bin hanok

test:
	scripts/install-test-deps.sh
	scripts/python-venv.sh
	scripts/portal.sh
	scripts/portal.sh test
	scripts/postgres-for-tests.sh chrt --batch 0 cargo nextest run --locked --workspace

lint: style
	cargo clippy --locked --workspace --all-targets -- -D warnings

style:
	cargo fmt --all --check
	scripts/portal.sh lint

screenshots: build
	scripts/install-test-deps.sh
	scripts/screenshots.sh

bench: build
	scripts/bench.sh

tempest: build
	scripts/install-test-deps.sh
	HANOK=$(CURDIR)/$(HANOK) scripts/tempest.sh $(ARGS)

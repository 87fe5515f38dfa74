# The commands of this checkout. Everything runs from .venv, built from locks/dev.txt.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help install run monitor test test-cluster test-long test-observability test-endurance test-kubernetes drills drills-once drill-upgrade manifests lint style types architecture bench lock clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The interpreter of .venv: PYTHON=… or the first of these that runs, is new enough and has what we need.
# A name on the PATH is not enough: version managers leave names there that only print an error.
PYTHON ?=
CANDIDATES := python3.13 python3.12 python3.11 python3
USABLE := import sys, ensurepip, sqlite3, ssl, venv; sys.exit(sys.version_info < (3, 11))
ARGS ?=

# Tests over real processes mostly wait: several at a time, on however few cores. WORKERS= runs them in one process.
WORKERS ?= -n 3 --dist worksteal

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=/path/to/python3 chooses the interpreter (3.11 or later); ARGS='…' goes to holdfast, pytest or the bench."

install: $(STAMP) ## build .venv from the locks, with the holdfast command in it; nothing to do when up to date
	@:

$(STAMP): pyproject.toml locks/dev.txt
	@python=; \
	for name in $(or $(PYTHON),$(CANDIDATES)); do \
	  if "$$name" -c '$(USABLE)' >/dev/null 2>&1; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "No usable Python among: $(or $(PYTHON),$(CANDIDATES)). Holdfast needs Python 3.11 or later with its venv module" >&2; \
	  echo "(on Debian: apt-get install python3-venv), or name one: make install PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || [ -n "$(PYTHON)" ]; then \
	  echo "Creating $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv --clear $(VENV); \
	fi
	@echo "Installing what locks/dev.txt names (a minute or so the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Only tests need it: the client has no dependencies. Without npm its tests are skipped and say so; with CI=true they fail.
JAVASCRIPT := clients/javascript
.PHONY: javascript
javascript: $(JAVASCRIPT)/node_modules/.installed ## the tools of the JavaScript client, by npm and from its lock: Node, TypeScript, esbuild, React, checkers of packages
	@:

$(JAVASCRIPT)/node_modules/.installed: $(JAVASCRIPT)/package.json $(JAVASCRIPT)/package-lock.json
	@if ! command -v npm >/dev/null; then \
	  echo "No npm: the tests of the JavaScript client are skipped (on Debian: apt-get install npm)" >&2; \
	elif npm ci --prefix $(JAVASCRIPT) --loglevel=error --no-audit --no-fund && $(JAVASCRIPT)/node_modules/.bin/node --version >/dev/null; then \
	  touch $@; \
	else \
	  echo "npm ci failed, or its Node does not run: the tests of the JavaScript client are skipped (make javascript tries again)" >&2; \
	  [ "$${CI:-}" != true ]; \
	fi

run: install ## a whole cluster on this machine: Redis, a store, two instances, and the chat page on port 8000
	@exec $(BIN)/holdfast up $(ARGS)

monitor: install ## the same with a Prometheus beside it that scrapes the instances and evaluates the alert rules: port 9000
	@exec $(BIN)/holdfast up --monitor $(ARGS)

test: install javascript ## all but the tests that take long; ARGS='tests/unit -k name' for a part of it
	$(BIN)/python -m pytest -m quick $(WORKERS) $(ARGS)

test-cluster: install javascript ## the tests over several real instances: failures, drains, restores, `holdfast up`
	$(BIN)/python -m pytest -m cluster $(WORKERS) $(ARGS)

test-long: install ## the tests that take minutes: every mechanism switched off in turn, and what breaks without it
	$(BIN)/python -m pytest -m long $(WORKERS) $(ARGS)

test-endurance: install ## the longest tests: 500 first messages of each kind on both stores, a thousand departures, ten idle minutes behind a balancer
	$(BIN)/python -m pytest -m endurance $(WORKERS) $(ARGS)

test-observability: install ## alerts made to fire by real faults before a real Prometheus, and a healthy soak in which none fires
	$(BIN)/python -m pytest tests/observability -m observability_long $(WORKERS) $(ARGS)

test-kubernetes: install ## the chart and the image on a real cluster, installed, broken and removed: about a quarter of an hour, as root
	$(BIN)/python -m pytest tests/kubernetes -m kubernetes $(ARGS)

SEEDS ?= 60
SECONDS ?= 100
.PHONY: simulate
comma := ,
simulate: install ## the whole cluster with its clients and faults in virtual time: SEEDS=60 (or 100-200), SECONDS=100 of each, ARGS='--profile kill'
	@PYTHONPATH=tests $(BIN)/python -m simulation --seeds $(if $(findstring -,$(SEEDS))$(findstring $(comma),$(SEEDS)),$(SEEDS),1-$(SEEDS)) --seconds $(SECONDS) $(ARGS)

.PHONY: autobahn pictures
autobahn: install ## Autobahn's 247 cases against the WebSocket rim; needs CPython 2.7 on this machine
	tests/autobahn/run

SECONDS_EACH ?= 600
FUZZED := frame handshake envelope redis store
.PHONY: fuzz
fuzz: install ## hostile bytes for whatever reads bytes, SECONDS_EACH=600 for each of five targets, two at a time; finds in reports/fuzz
	@mkdir -p reports/fuzz
	@printf '%s\n' $(FUZZED) | PYTHONPATH=tests xargs -P 2 -I{} bash -c \
	  '$(BIN)/python -m fuzz.run {} $(SECONDS_EACH) >reports/fuzz/{}.log 2>&1 && echo "{}: $$(grep ^Done reports/fuzz/{}.log)" \
	  || { echo "{}: FAILED (reports/fuzz/{}.log)"; grep -v "NEW\|REDUCE\|INFO" reports/fuzz/{}.log | tail -n 60; exit 1; }'

# The emulator stores few messages a second for its size: on two cores 60 of them and a failure are more than it takes.
drills: install ## every drill, on each store that it can be played on, with reports in reports/: about 70 minutes
	$(BIN)/holdfast drill run all --store sqlite --directory reports/sqlite --markdown reports/sqlite.md $(ARGS)
	$(BIN)/holdfast drill run all --store firestore --rate 30 --directory reports/firestore --markdown reports/firestore.md $(ARGS)

# On SQLite two at a time, each in a process of its own: drills mostly wait. The emulator and a failure keep two cores busy: the
# drills that SQLite cannot show are played one after the other, with nothing beside them.
ONLY_FIRESTORE := freeze-short freeze-long firestore-down firestore-slow replies-lost both-gone
ONCE = $(BIN)/holdfast drill run --brief --attempts 2 --seconds 4 --rate 30 $(ARGS)
drills-once: install ## every drill once and short, each on the first store that it can be played on: about a quarter of an hour
	@mkdir -p reports; rm -f reports/once-*.log reports/once-*.md; pids=(); status=0; \
	once() { $(ONCE) --directory reports/once-$$1 --markdown reports/once-$$1.md "$${@:2}" > reports/once-$$1.log 2>&1; }; \
	once 1 all --store sqlite --share 1/2 & pids+=($$!); \
	once 2 all --store sqlite --share 2/2 & pids+=($$!); \
	for pid in "$${pids[@]}"; do wait "$$pid" || status=$$?; done; \
	once 3 $(ONLY_FIRESTORE) --store firestore || status=$$?; \
	cat reports/once-*.log reports/once-*.md; exit "$$status"

FROM ?= HEAD~1
drill-upgrade: install ## a rolling upgrade from an older version and back under load, with failures: FROM=<commit>; ARGS='--store sqlite --seed 7'
	$(BIN)/holdfast drill upgrade --from $(FROM) --rate 30 --directory reports/upgrade --markdown reports/upgrade.md $(ARGS)

lint: style types architecture ## the three below

style: install ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## mypy, strict
	$(BIN)/mypy

architecture: install ## import-linter: which way imports may point
	$(BIN)/lint-imports --no-logo

bench: install ## measure one instance on this machine; ARGS are the bench's own
	@exec $(BIN)/holdfast bench $(ARGS)

# What a peer needs is installed in folders that only peers look into, from locks of its own: nothing of it comes near an instance.
# A peer that cannot be installed is left out of the table, which says so.
PEERS := tests/bench/peers
PEERS_PACKAGES := $(VENV)/bench-peers
.PHONY: bench-compare
bench-compare: install $(PEERS)/node_modules/.installed $(PEERS_PACKAGES)/.installed ## Holdfast beside naive FastAPI, python-socketio, ws and Socket.IO: six minutes; ARGS='--brief --markdown FILE --json FILE'
	@exec $(BIN)/holdfast bench --peers $(PEERS) $(ARGS)

$(PEERS)/node_modules/.installed: $(PEERS)/package.json $(PEERS)/package-lock.json
	@if ! command -v npm >/dev/null; then \
	  echo "No npm: servers on Node are left out (on Debian: apt-get install npm)" >&2; \
	elif npm ci --prefix $(PEERS) --loglevel=error --no-audit --no-fund; then touch $@; \
	else echo "npm ci failed: servers on Node are left out" >&2; fi

$(PEERS_PACKAGES)/.installed: locks/bench.txt | $(STAMP)
	@rm -rf $(@D); if $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(@D) -r $<; \
	then touch $@; else echo "pip failed: python-socketio is left out" >&2; fi

HELM ?= $(or $(shell command -v helm),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/holdfast-cluster/bin/helm)
manifests: install ## write what is made of the chart again after a change of it: k8s/base, its page of values; the dashboards
	@{ echo "# Rendered from charts/holdfast with values.yaml beside this file: make manifests"; \
	  $(HELM) template holdfast charts/holdfast --kube-version 1.34.0 --skip-tests -f k8s/base/values.yaml; } > k8s/base/holdfast.yaml.new
	@mv k8s/base/holdfast.yaml.new k8s/base/holdfast.yaml
	@PYTHONPATH=tests $(BIN)/python -m support.values_page
	@PYTHONPATH=tests $(BIN)/python -m support.dashboards

.PHONY: sbom footprint
sbom: install ## what the image is made of, as CycloneDX, from the locks: reports/sbom.cdx.json
	@mkdir -p reports
	@PYTHONPATH=tests $(BIN)/python -m support.sbom > reports/sbom.cdx.json

footprint: install ## the memory of an idle instance on both stores; ARGS=image.tar (docker save): the size of its layers, too
	@PYTHONPATH=tests $(BIN)/python -m support.footprint $(ARGS)

# Half an hour with CALM=1500; 0 draws the last scene again. Needs prometheus, chromium and npm. Nothing that a test needs.
CALM ?= 600
pictures: install ## the dashboards as Grafana draws them, in reports/pictures: calm, an outage of Redis, a rollout: a quarter of an hour
	@PYTHONPATH=tests $(BIN)/python -m support.pictures $(CALM)

metrics: install ## write docs/metrics.md again after a change of service/holdfast/telemetry
	@PYTHONPATH=tests $(BIN)/python -m support.metrics_page

costs: install ## write the section on costs in docs/operating.md again after a change of tests/simulation/costs/table.py
	@PYTHONPATH=tests $(BIN)/python -m simulation.costs.page

# One resolution for all of CPython 3.11 to 3.13: versions and hashes, no address of any registry. ARGS=--upgrade renews all.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(ARGS)

lock: install ## write locks/ again after a change of pyproject.toml; ARGS=--upgrade for newer versions
	$(LOCK) pyproject.toml --extra server --extra embedded --extra otlp --group dev --output-file locks/dev.txt
	$(LOCK) pyproject.toml --extra server --extra otlp --constraints locks/dev.txt --output-file locks/runtime.txt
	$(LOCK) --group build --constraints locks/dev.txt --output-file locks/build.txt
	$(LOCK) --group bench --constraints locks/dev.txt --output-file locks/bench.txt

clean: ## remove .venv, reports, builds and all caches; .data (what holdfast up keeps) stays
	rm -rf $(VENV) $(JAVASCRIPT)/node_modules $(PEERS)/node_modules build dist reports .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.data/*' -prune -exec rm -rf {} +

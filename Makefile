# `make help` lists what there is.
.DEFAULT_GOAL := help
PY := .venv/bin/python
BIN := .venv/bin
# Neighbours stay on one worker, which keeps what they share; who is done early takes over half of the rest.
TWICE := -n 2 --dist worksteal
# Asserts are rewritten and tests compiled once, not at every run of each worker, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv: requirements.lock requirements-dev.lock
	python3 -m venv .venv
	$(PY) -m pip install -q --disable-pip-version-check -r requirements-dev.lock
	$(PY) -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch .venv

fmt: .venv ## format the code
	$(BIN)/ruff format src tests bench examples
	$(BIN)/ruff check --fix src tests bench examples

lint: .venv ## style, layers, conventions
	$(BIN)/ruff check src tests bench examples
	$(BIN)/ruff format --check src tests bench examples
	$(BIN)/lint-imports --no-cache

type: .venv ## mypy, strict; pyright (as basedpyright, which brings its own runtime)
	$(BIN)/mypy
	$(BIN)/basedpyright

test: .venv ## tests without root or network, in a minute or two on two cores
	$(BIN)/pytest $(TWICE)

test-slow: .venv ## every test that needs no root, the slow ones too: they fetch other people's clients
	$(BIN)/pytest $(TWICE) -m "not e2e"

golden: .venv ## write anew the texts that tests compare with: read the difference before committing it
	TIPHYS_GOLDEN=write $(BIN)/pytest -m golden
	git diff --stat -- '*/golden/*'

chaos: .venv ## faults at random on a real cluster: ROUNDS=10 SEED=random STORE=sqlite|etcd, needs root
	TIPHYS_OUTBOUND=off TIPHYS_FAULTS_ROUNDS=$(or $(ROUNDS),10) TIPHYS_FAULTS_SEED=$(or $(SEED),$(shell date +%s)) \
		TIPHYS_E2E_STORE=$(or $(STORE),sqlite) $(BIN)/pytest -s -m e2e tests/e2e/test_faults_at_random.py

e2e: .venv ## real containers, needs root
	TIPHYS_OUTBOUND=off $(BIN)/pytest -m e2e --timeout 900 tests

conformance-table: ## which conformance behaviours a test of ours shows
	$(PY) tests/conformance/table.py

bench: .venv ## the rows of docs/performance.md
	$(PY) -m bench

check: lint type test ## before every commit

ci: lint type test-slow e2e ## what the gate (.ci/run) runs: everything

.PHONY: help fmt lint type test test-slow golden e2e chaos conformance-table bench check ci

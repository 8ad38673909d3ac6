# Steelyard: `make up` runs the platform, `make test` passes the tests. `make help` lists the rest.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: setup up test test-long check bench reference lock help

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip install --quiet --python .venv -r requirements.lock
	@$(BIN)/uv pip install --quiet --python .venv --no-deps --no-build-isolation -e .
	@touch $(STAMP)

setup: $(STAMP)  ## make the environment in .venv (nothing else)

up: setup  ## run the platform: database, server, jobs, simulated town (ARGS="--speed 60")
	@exec $(BIN)/steelyard up $(ARGS)

test: setup  ## run the tests (ARGS="tests/ledger -k hold")
	@scripts/browser
	@$(BIN)/python -m pytest -n 2 -m "not long" $(ARGS)

test-long: setup  ## run the long batteries too: crash loops, long state machines
	@scripts/browser
	@$(BIN)/python -m pytest -n 2 $(ARGS)

check: setup  ## lint, types, import contracts
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@PYTHONPATH=scripts $(BIN)/lint-imports

reference: setup  ## write the reference pages again from the code
	@$(BIN)/python scripts/reference.py

lock: setup  # choose the newest versions that fit pyproject.toml and write them down
	@$(BIN)/uv pip compile --quiet pyproject.toml --upgrade --all-extras --group dev --universal \
	  --no-emit-index-url --no-header --no-annotate -o requirements.lock

bench: setup  ## measure, beside peers on the same work (ARGS="--quick")
	@$(BIN)/steelyard bench $(ARGS)

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

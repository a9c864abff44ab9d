# make tune   make an environment and tune a small real workload (needs Python 3.11 or newer, nothing else)
# make test   make an environment and run the whole test suite

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
LOG ?= run.jsonl
PACKAGES := tuner search_space cost_models records

BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet install
INSTALLED := $(VENV)/.installed
INSTALLED_TEST := $(VENV)/.installed-test

.PHONY: help tune test slow lint format clean
.DEFAULT_GOAL := help

help:
	@echo "make tune     tune a matmul and a convolution, end with the table (about two minutes)"
	@echo "make test     run the whole test suite"
	@echo "make slow     run the tests that take long"
	@echo "make lint     check style, format and types"
	@echo "make format   format the code"
	@echo "make clean    remove the environment and what tools left"

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "no python3 found: install Python 3.11 or newer"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is too old: install Python 3.11 or newer, or call make PYTHON=..."; exit 1; }
	@echo "making the environment $(VENV) (once; TVM is some 150 MB)"
	@test -x "$(BIN)/pip" || "$(PYTHON)" -m venv "$(VENV)"
	@$(PIP) --editable .
	@touch "$@"

$(INSTALLED_TEST): $(INSTALLED)
	@$(PIP) --editable '.[test,dev]'
	@touch "$@"

tune: $(INSTALLED)
	@$(BIN)/tirtune tune gmm:1,512,512,512 c2d:1,14,14,256,256,3,1,1 --trials 96 --time 150s --log $(LOG)

test: $(INSTALLED_TEST)
	@$(BIN)/python -m pytest

slow: $(INSTALLED_TEST)
	@$(BIN)/python -m pytest -m 'slow and not gpu'

lint: $(INSTALLED_TEST)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(INSTALLED_TEST)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

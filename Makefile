# Everything a newcomer needs; `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Stage commands say `python`: let that be the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install repro test lint clean

help: ## List the targets.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED) ## Make .venv with the tested versions (5 GB: torch comes with CUDA).

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

repro: $(INSTALLED) ## Run the pipeline: from nothing to scores.
	$(BIN)/dvc repro
	$(BIN)/dvc metrics show

test: $(INSTALLED) ## Run the tests.
	$(BIN)/python -m pytest

lint: $(INSTALLED) ## Check style.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean: ## Remove what runs left behind; data, outputs and the DVC cache stay.
	rm -rf .hsc .pytest_cache .hypothesis .ruff_cache *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# Everything a newcomer needs; `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Stage commands say `python`: let that be the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install repro report test soak lint clean

help: ## List the targets.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED) ## Make .venv with the tested versions (5 GB: torch comes with CUDA).

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

repro: $(INSTALLED) ## Run the pipeline: from nothing to scores and outputs/report.html.
	$(BIN)/dvc repro
	$(BIN)/python -m stages.report

report: $(INSTALLED) ## Scores and times, and outputs/report.html, of what the last run left here.
	$(BIN)/python -m stages.report

test: $(INSTALLED) ## Run the tests, in a process a core (at most 4).
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

soak: $(INSTALLED) ## Kill, starve and spoil the pipeline, half an hour (SOAK='--minutes 5 --seed 1').
	$(BIN)/python -m tests.soak $(SOAK)

lint: $(INSTALLED) ## Check style.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean: ## Remove what runs left behind; data, outputs and the DVC cache stay.
	rm -rf .hsc .pytest_cache .hypothesis .ruff_cache *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

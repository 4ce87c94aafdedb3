# Two commands are all a fresh machine needs: make demo, make test. Each sets up .venv by itself, once.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
CORES := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
JOBS ?= $(shell echo $$(( $(CORES) < 8 ? $(CORES) : 8 )))
ARGS ?=

.PHONY: help install demo test lint format docs clean

help: ## list these targets
	@echo "usage: make TARGET"
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1\t\2/' | expand -t 12

demo: $(INSTALLED) ## the whole pipeline on simulated tomograms; settings in ARGS="key=value ..."
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-$(JOBS)} $(PYTHON) -m tomoseek demo $(ARGS)

# One thread in each of JOBS test processes is faster than many threads in one.
test: lint ## ruff, mypy --strict, and every test; pytest options in ARGS="..."
	@echo "== pytest ($(JOBS) processes)"
	@OMP_NUM_THREADS=1 HYDRA_FULL_ERROR=1 $(PYTHON) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: $(INSTALLED) ## ruff and mypy --strict only
	@echo "== ruff"
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@echo "== mypy --strict"
	@$(PYTHON) -m mypy

format: $(INSTALLED) ## let ruff rewrite what it can
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

# The pages keep the layout of the repository, so that a link means the same on the site and in a checkout.
docs: $(INSTALLED) ## these pages as a site in build/site
	@$(PYTHON) -c 'import zensical, mkdocstrings' 2>/dev/null \
	    || $(PYTHON) -m uv pip install --python $(PYTHON) -c constraints.txt -e '.[docs]' \
	    || $(PYTHON) -m pip install -c constraints.txt -e '.[docs]'
	@rm -rf build/pages && mkdir -p build/pages/benchmarks
	@cp README.md build/pages/ && cp -rL docs build/pages/ && cp -rL benchmarks/results benchmarks/EXPERIMENTS.md build/pages/benchmarks/
	@$(PYTHON) -m zensical build --clean --strict

install: $(INSTALLED) ## set up .venv

# uv installs in a fraction of pip's time; where it cannot be had, pip does the same.
$(INSTALLED): pyproject.toml constraints.txt
	@python=$$(for name in python3 python3.13 python3.12 python3.11 python; do \
	    if $$name -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	        2>/dev/null; then echo $$name; break; fi; done); \
	if [ -z "$$python" ]; then \
	    echo "error: expected Python 3.11, 3.12 or 3.13 with its venv module on the PATH, found none;" \
	         "install one (on Debian or Ubuntu: apt install python3 python3-venv) and run make again" >&2; \
	    exit 2; \
	fi; \
	echo "== setting up $(VENV) with $$($$python --version); once, a few minutes and about 6 GB (torch)"; \
	$$python -m venv $(VENV); \
	if $(PYTHON) -m pip install --quiet --disable-pip-version-check uv \
	    && $(PYTHON) -m uv pip install --compile-bytecode --python $(PYTHON) -c constraints.txt -e '.[dev]'; then :; \
	else \
	    echo "== uv could not install; pip does it instead"; \
	    $(PYTHON) -m pip install --upgrade pip; \
	    $(PYTHON) -m pip install -c constraints.txt -e '.[dev]'; \
	fi
	@touch $(INSTALLED)

clean: ## remove .venv and caches; demo/ stays
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

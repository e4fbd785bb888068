# What there is to do here. `make` alone lists it.
PYTHON ?= .venv/bin/python

help:  ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

.venv: pyproject.toml
	python3 -m venv .venv
	.venv/bin/pip install -q -e '.[dev]'
	@touch .venv

run: .venv  ## chat with the scripted model, in a home of its own
	MEMAGENT_HOME=.venv/home MEMAGENT_PROVIDER=scripted .venv/bin/memagent run

test: .venv  ## run the tests
	$(PYTHON) -m pytest -n auto

lint: .venv  ## check style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format: .venv  ## put the style right
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

bench: .venv  ## measure, and print the tables
	$(PYTHON) -m bench

.PHONY: help run test lint format bench

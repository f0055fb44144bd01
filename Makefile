# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PROJECT := pyproject.toml constraints.txt

.PHONY: demo test test-slow lint types bench docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/organza demo --outdir out/demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist worksteal

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python bench/run.py

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python $(PROJECT)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[video,tensorboard]"
	touch $@

$(VENV)/.dev: $(BIN)/python $(PROJECT)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

$(VENV)/.docs: $(BIN)/python $(PROJECT)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

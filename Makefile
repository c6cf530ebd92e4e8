# `make demo` and `make test` are all that a new machine needs; both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test verify lint schemas docs bench clean

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there). Needed: Python 3.11 or newer, with venv and" \
	  "ensurepip (Debian, Ubuntu: apt install python3-venv). Name another: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "Setting up $(VENV): downloading about 300 MB of packages, most of it torch; 1 to 3 minutes, once ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[trainer,dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/curate run --username greggles --mode dual --max 3000
	$(BIN)/trainer finetune --profile greggles

test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not verify" --numprocesses 2 --dist loadscope

# What our exports are compared with: transformers, TRL and llama.cpp.
$(VENV)/.peers: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[trainer,dev,peers]'
	touch $@

# Tools whose versions exclude each other and ours: each in a place of its own, for `make verify` alone. What would pull
# gigabytes for GPUs is installed without its requirements, as its file says.
PEERS := llama-factory axolotl mlx torchtune unsloth
.venv-%/.installed: tests/peers/%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	sed -n 's/^#.*pip install --no-deps //p' $< | xargs -r .venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps
	touch $@

verify: $(VENV)/.peers $(PEERS:%=.venv-%/.installed) lint
	$(BIN)/python -m pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

schemas: $(VENV)/.installed
	$(BIN)/python schemas/generate.py

docs: $(VENV)/.installed
	COLUMNS=80 $(BIN)/curate run --username greggles --mode dual --max 3000 --dry-run | $(BIN)/python docs/generate.py

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/curate.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/generate.py
	$(BIN)/python benchmarks/export.py

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info

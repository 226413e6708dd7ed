# Each target makes the environment it needs in .venv, with the versions of constraints.txt.
PYTHON ?= python3
IMAGES ?=
OUT ?= $(if $(IMAGES),demo-own,demo-out)
BIN := .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
STAMPS := .venv/stamps

.PHONY: demo test check proto bench test-export clean

demo: $(STAMPS)/demo
	$(BIN)/icecore demo --out $(OUT) $(if $(IMAGES),--images "$(IMAGES)")

test: $(STAMPS)/dev $(STAMPS)/tritonclient
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not export"

test-export: $(STAMPS)/export
	$(BIN)/python -m pytest tests -m export

check: $(STAMPS)/dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python proto/generate.py --check

proto: $(STAMPS)/dev
	$(BIN)/python proto/generate.py

bench: $(STAMPS)/dev
	$(BIN)/python bench/embed_overhead.py
	$(BIN)/python bench/cost_by_depth.py
	$(BIN)/python bench/int8.py
	$(BIN)/python bench/backbone_cycles.py

clean:
	rm -rf .venv demo-out demo-own

.venv/bin/python:
	$(PYTHON) -m venv .venv

$(STAMPS)/%: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) install --quiet --editable ".[$(EXTRAS_$*)]" --constraint constraints.txt
	mkdir -p $(STAMPS) && touch $@

# An environment of its own: its versions are its own, and it has nothing of ours.
$(STAMPS)/tritonclient: .venv/bin/python constraints-tritonclient.txt
	$(PYTHON) -m venv .venv/tritonclient
	.venv/tritonclient/bin/python -m pip --disable-pip-version-check install --quiet --requirement constraints-tritonclient.txt
	mkdir -p $(STAMPS) && touch $@

# What each environment installs; the comparison with torch needs pytest too.
EXTRAS_demo := cli,server
EXTRAS_dev := dev
EXTRAS_export := dev,export

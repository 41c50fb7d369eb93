# Everything a newcomer types. `make run` and `make test` work on a fresh Debian with Python 3.11 and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SSHD := /usr/sbin/sshd
SECONDS ?= 900

.PHONY: run test bench fuzz quick lint format types demo clean

run: $(VENV)/run.stamp  ## live events from the packaged bundles on simulated nodes; Ctrl-C ends it
	$(BIN)/cogd run --demo

test: $(SSHD) $(VENV)/dev.stamp lint types  ## everything
	$(BIN)/pytest --ignore=tests/bundle
	$(BIN)/pytest tests/bundle --cov=cogd.bundle --cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered

bench: $(VENV)/bench.stamp  ## every bar with its figure, met or missed; five minutes, on a machine that does nothing else
	$(BIN)/python bench/bars.py

fuzz: $(VENV)/dev.stamp  ## fuzz what reads bundles, SECONDS=900 for each of the four targets
	PATH="$(abspath $(BIN)):$$PATH" tests/fuzz/run $(SECONDS)

quick: $(VENV)/dev.stamp  ## what every commit must pass; no training
	$(BIN)/pytest -m "not slow and not train"

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/dev.stamp
	$(BIN)/mypy

demo: $(VENV)/dev.stamp  ## train and sign the packaged bundles anew (three quarters of an hour)
	COGD_TRAIN=$(BIN)/cogd-train packaging/make-demo

# The other runtimes that are put beside ONNX Runtime.
$(VENV)/bench.stamp: $(VENV)/dev.stamp
	$(BIN)/pip install --quiet --editable '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist

# Some tests install over a real SSH. Without its server they are skipped; with CI=true they fail.
$(SSHD):
	@if [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openssh-server; \
	then :; else echo 'make: the tests over SSH need openssh-server, as root: apt-get install openssh-server' >&2; fi

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable .
	touch $@

# torch first and alone: a range that admits a newer release would pull gigabytes of CUDA libraries.
$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[train,report,dev]'
	touch $@ $(VENV)/run.stamp

# Everything a newcomer types. `make run` and `make test` work on a fresh Debian with Python 3.11 and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SSHD := /usr/sbin/sshd
SECONDS ?= 900

# Both cores (or however many there are) test. One file stays with one worker: its tests share what it trains.
PYTEST := $(BIN)/pytest --numprocesses=auto --dist=loadfile

.PHONY: run test test-most test-bundle test-packages bench fuzz quick lint format types schema demo clean

run: $(VENV)/run.stamp  ## live events from the packaged bundles on simulated nodes; Ctrl-C ends it
	$(BIN)/cogd run --demo

test: test-packages $(VENV)/dev.stamp  ## everything; each part runs and reports, also where one before it fails
	@$(MAKE) --no-print-directory --keep-going lint types test-most test-bundle

test-most: $(VENV)/dev.stamp  ## all tests but those of tests/bundle
	$(PYTEST) --ignore=tests/bundle

test-bundle: $(VENV)/dev.stamp  ## tests/bundle, which must reach every branch of cogd.bundle
	$(PYTEST) tests/bundle --cov=cogd.bundle --cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered

bench: $(VENV)/bench.stamp  ## every bar with its figure, met or missed; five minutes, on a machine that does nothing else
	$(BIN)/python bench/bars.py

fuzz: $(VENV)/dev.stamp  ## fuzz what reads bundles, SECONDS=900 for each of the four targets
	PATH="$(abspath $(BIN)):$$PATH" tests/fuzz/run $(SECONDS)

quick: $(VENV)/dev.stamp  ## what every commit must pass; no training
	$(PYTEST) -m "not slow and not train"

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/dev.stamp
	$(BIN)/mypy

schema: $(VENV)/dev.stamp  ## write docs/schema anew from the event types
	rm -f docs/schema/*.json
	$(BIN)/cogd schema --output-dir docs/schema

demo: $(VENV)/dev.stamp  ## train and sign the packaged bundles anew (three quarters of an hour)
	COGD_TRAIN=$(BIN)/cogd-train packaging/make-demo

# The other runtimes that are put beside ONNX Runtime.
$(VENV)/bench.stamp: $(VENV)/dev.stamp
	$(BIN)/pip install --quiet --editable '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist

# Debian packages that tests need. Without them those tests are skipped; with CI=true they fail.
test-packages:
	@if [ -x $(SSHD) ]; then :; \
	elif [ "$$(id -u)" != 0 ]; then \
		echo 'make: skipping the tests over SSH: openssh-server is not installed.' >&2; \
		echo 'make: to run them too: sudo apt-get install --no-install-recommends openssh-server' >&2; \
	elif ! command -v apt-get >/dev/null; then \
		echo 'make: skipping the tests over SSH: install the OpenSSH server to run them too.' >&2; \
	else \
		echo 'make: installing the Debian package openssh-server, which the tests over SSH need' >&2; \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openssh-server || \
		echo 'make: openssh-server could not be installed: skipping the tests over SSH' >&2; \
	fi

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

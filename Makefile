# `make help` lists the targets. Works with GNU make and BSD make, on Linux and macOS.
PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: help install demo test lint format types bench bench-quick simulate consistency conformance screenshots dist system-packages clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

$(STAMP): pyproject.toml requirements.txt .ci/bootstrap.py
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found. Install Python 3.11 or newer, or: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) .ci/bootstrap.py $(VENV) requirements.txt
	@touch $(STAMP)

install: $(STAMP) ## Make the virtual environment with everything in it

demo: $(STAMP) ## Run the demo shop: web, worker, beat and its own Valkey
	@$(BIN)/python -m demo_site.run

test: $(STAMP) ## Run every check and test, in stages with a time budget
	@$(BIN)/python -m tests.stages

lint: $(STAMP) ## Run the checks alone: style, types, floors, Django's checks
	@$(BIN)/python -m tests.stages --only checks

types: $(STAMP) ## Run mypy
	@$(BIN)/python -m tests.stages --only mypy

format: $(STAMP) ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(STAMP) ## Measure beside all peers in ten minutes, write the docs' figures
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[bench]' || $(BIN)/python -m pip install --quiet -e '.[bench]'
	@$(BIN)/python -m benchmarks

bench-quick: $(STAMP) ## Measure in a minute, less exactly
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[bench]' || $(BIN)/python -m pip install --quiet -e '.[bench]'
	@$(BIN)/python -m benchmarks --quick

simulate: $(STAMP) ## Run 20 seeds of the simulator, a million reads each
	@$(BIN)/python -m tests.consistency.simulator --seeds 20 --reads 1000000

consistency: $(STAMP) ## Break real servers under cachekit and its peers, compare every read, write the docs' figures
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[consistency]' || $(BIN)/python -m pip install --quiet -e '.[consistency]'
	@$(BIN)/python -m tests.consistency.checker --reads 1000000 --docs

conformance: $(STAMP) ## Ask every read against every write beside cachekit's peers and 1,000 random queries, write the docs' table
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[consistency]' || $(BIN)/python -m pip install --quiet -e '.[consistency]'
	@CACHEKIT_CONFORMANCE=1 CACHEKIT_RANDOM_QUERIES=1000 $(BIN)/python -m pytest -q -p no:randomly tests/orm/test_matrix.py tests/orm/test_random.py
	@CACHEKIT_CONFORMANCE=1 CACHEKIT_RANDOM_QUERIES=1000 CACHEKIT_TEST_DATABASE=postgres $(BIN)/python -m pytest -q -p no:randomly tests/orm/test_matrix.py tests/orm/test_random.py
	@$(BIN)/python -m tests.conformance --again --docs

screenshots: $(STAMP) ## Take the pictures of the README from the running demo
	@$(BIN)/python -m docs.screenshots

dist: $(STAMP) ## Build the wheel into dist/
	@rm -rf build
	@$(BIN)/uv build --quiet --wheel --out-dir dist . || $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist

system-packages: ## Install Redis, Chromium and PostgreSQL for the tests (Debian and Ubuntu, as root)
	@sh .ci/system-packages

clean: ## Remove caches and build output; the demo's data and the virtual environment stay
	rm -rf build dist .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .nox ./*.egg-info
	find cachekit demo_site tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Every target sets up what it needs from nothing: Python 3.11 and make are enough.
PYTHON ?= python3.11
WORKERS ?= 2
BIN := .venv/bin

.PHONY: setup demo run test check faults laws bench bench-large format lock sbom

setup:
	@$(PYTHON) tools/setup.py

demo: setup
	@$(BIN)/scudo demo

run: setup
	@$(BIN)/scudo serve

test: setup
	@$(BIN)/pytest -n $(WORKERS)

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/house

# The cases of the fault matrix, one by one, each with its result.
faults: setup
	@$(BIN)/pytest -q -n $(WORKERS) -m fault

# A history against the real service: clients in processes, kills, every answer compared.
laws: setup
	@$(BIN)/python -m tests.history --operations 50000 --kills 30 --clients 8

bench: setup
	@$(BIN)/scudo bench

bench-large: setup
	@$(BIN)/scudo bench --large

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# Lists every locked package (CycloneDX, build/sbom.json), and says which are past their time.
sbom: setup
	@$(BIN)/python tools/write_sbom.py

# Refreshes the lock file: the newest versions that pyproject.toml allows, hashes, no addresses.
# Needs `uv` on the path; only the developer who changes a dependency runs it.
lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --quiet --output-file requirements.lock

# Two commands: `make app` opens the dashboard on the sample run, `make test` runs everything CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := pipelines dashboard sample_data tests benchmarks
# The tests' folder of temporary files: in memory where 4 GB of it are free, as thousands of small files wait for a disk.
SCRATCH := $(or $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 {print "/dev/shm"}'),$(TMPDIR),/tmp)
# One OpenMP thread a process: threads that wait for each other by spinning slow two workers on two cores down.
IN_SCRATCH = scratch=$$(mktemp -d -p $(SCRATCH)) && trap 'rm -rf "$$scratch"' EXIT && \
	export TMPDIR=$$scratch OMP_NUM_THREADS=1
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal --durations 30

# Of the tens of thousands of modules those that are used are compiled, when they are first imported.
INSTALL = $(BIN)/pip install --disable-pip-version-check --no-compile

export PYTHONDONTWRITEBYTECODE :=  # each of the hundreds of processes would compile the code anew

.PHONY: app sample test tests fuzz trained format lint types imports structure unit browser screenshots clean

app: sample
	$(BIN)/streamlit run dashboard/app.py

sample: $(VENV)/.app
	$(BIN)/python -m pipelines sample

# While one core checks types, the other trains the runs that the tests look at and compiles what numba has to compile.
test: $(VENV)/.dev
	@$(IN_SCRATCH) && export TEST_RUNS=$$scratch/trained && \
	$(MAKE) --no-print-directory -j 2 -O types trained lint imports && $(MAKE) --no-print-directory tests

# All tests in one go, so that no worker waits for the end of a part.
tests: $(VENV)/.dev
	$(IN_SCRATCH) && $(PYTEST)

# Random, damaged and hostile inputs and killed processes in full, of which the gate tries a tenth: an hour or more.
fuzz: $(VENV)/.dev
	$(IN_SCRATCH) && FUZZ=1 $(PYTEST)

trained: $(VENV)/.dev
	$(BIN)/python tests/real_runs.py $(or $(TEST_RUNS),$(error TEST_RUNS names the folder to train into))

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, got " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.app: requirements.txt | $(VENV)/bin/python
	$(INSTALL) -r requirements.txt
	touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(INSTALL) -r requirements-dev.txt
	touch $(VENV)/.app $@

format: $(VENV)/.dev
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

structure: $(VENV)/.dev
	$(BIN)/python -m tests.tools.structure

unit: $(VENV)/.dev
	$(IN_SCRATCH) && $(PYTEST) -m "not browser"

browser: $(VENV)/.dev
	$(IN_SCRATCH) && $(PYTEST) -m browser tests/browser

screenshots: $(VENV)/.dev
	$(BIN)/python -m tests.browser.screenshots --runs runs --out docs/images

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

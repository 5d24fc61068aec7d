# make demo: the whole story offline · make test: the tests · make check: style, types, imports and the tests · make slow: long runs · make fuzz: broken files for every reader · make crash: 200 killed processes, and 16 at once · make harness: the tests with lm-evaluation-harness
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
# processes that test side by side; a file stays with one of them
JOBS ?= auto

.PHONY: demo test lint check slow fuzz crash bench harness clean
.DEFAULT_GOAL := test

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/patchmgr demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist loadfile

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

fuzz: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev,fuzz]"
	$(BIN)/python -m pytest -m slow tests/fuzz

crash: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow tests/crash

# lm-evaluation-harness brings 50 packages and 620 MB, so it has an environment of its own
$(VENV)-harness/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-harness
	$(VENV)-harness/bin/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(VENV)-harness/bin/pip install --quiet --constraint constraints.txt --editable ".[dev,harness]"
	touch $@

harness: $(VENV)-harness/.installed
	$(VENV)-harness/bin/python -m pytest tests/cli/test_lm_eval.py

bench: $(VENV)/.installed
	$(BIN)/python tests/benchmarks/rome_atlas.py

clean:
	rm -rf $(VENV) $(VENV)-harness dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

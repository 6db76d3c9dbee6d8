# Every target sets itself up: Python (3.11 or newer) and make are all that is needed. A second call reuses the environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A file's tests share what is compiled. The longest files come first (tests/conftest.py), so that both
# processes end together; pytest-xdist would put those with the most tests first.
BY_FILE := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test benchmark clean

demo: $(VENV)/.demo
	$(BIN)/python -m experiments.demo

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(BY_FILE)
	@# As XLA is for users; importing the other files' tests would take longer than some of these.
	DEFAULT_FLAGS=1 $(BIN)/python -m pytest -m default_flags $(BY_FILE) $$(grep -l default_flags tests/test_*.py)

benchmark: $(VENV)/.demo
	$(BIN)/python -m experiments.benchmark trajectory

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --editable '.[test]'
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache

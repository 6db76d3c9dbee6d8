# Every target sets itself up: Python (3.11 or newer) and make are all that is needed. A second call reuses the environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A file's tests share what is compiled. The longest files come first (tests/conftest.py), so that both
# processes end together; pytest-xdist would put those with the most tests first.
BY_FILE := -n 2 --dist loadfile --no-loadscope-reorder
# With XLA as it is for users; importing the other files' tests would take longer than some of these.
AS_XLA_IS := -m default_flags $(BY_FILE) $$(grep -l default_flags tests/test_*.py)

.PHONY: demo test test-thorough test-oldest test-newest benchmark clean

demo: $(VENV)/.demo
	$(BIN)/python -m experiments.demo

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m 'not default_flags and not thorough' $(BY_FILE)
	DEFAULT_FLAGS=1 $(BIN)/python -m pytest $(AS_XLA_IS)

# Besides, other settings and dtypes of what a test of the suite asks: five minutes more.
test-thorough: $(VENV)/.test
	$(BIN)/python -m pytest -m thorough $(BY_FILE)

# Both with the lowest versions that pyproject.toml allows and with the newest that there are, each in an
# environment of its own, made anew; PYTHON=python3.13 tries another Python, which may have newer ones.
test-oldest: RESOLUTION := lowest-direct
test-newest: RESOLUTION := highest
test-oldest test-newest: OWN = .venv-$(@:test-%=%)/bin
test-oldest test-newest:
	$(PYTHON) -m venv --clear $(OWN:/bin=)
	$(OWN)/python -m pip --disable-pip-version-check install --quiet uv
	$(OWN)/uv pip install --quiet --python $(OWN)/python --resolution $(RESOLUTION) --editable '.[test]'
	$(OWN)/uv pip compile --quiet --python $(OWN)/python --resolution $(RESOLUTION) pyproject.toml -o $(OWN)/own.txt
	$(OWN)/uv pip install --quiet --python $(OWN)/python --no-deps -r $(OWN)/own.txt  # what tests need may ask for newer
	$(OWN)/uv pip list --python $(OWN)/python
	$(OWN)/python -m pytest -m 'not default_flags' $(BY_FILE)
	DEFAULT_FLAGS=1 $(OWN)/python -m pytest $(AS_XLA_IS)

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
	rm -rf $(VENV) .venv-oldest .venv-newest build *.egg-info .pytest_cache .ruff_cache .mypy_cache

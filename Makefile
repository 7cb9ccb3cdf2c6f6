# One place for every chore. `make setup` first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: setup demo test lint bench studio clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/python demos/reenact_astronaut.py
	$(BIN)/python demos/listen_astronaut.py

# In order, because a process that has trained cannot load MediaPipe's segmentation afterwards.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	$(BIN)/headgen bench fsrt

studio: setup
	$(BIN)/headgen studio

clean:
	rm -rf build dist demos/out .mypy_cache .pytest_cache .ruff_cache

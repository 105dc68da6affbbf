# make demo   makes .venv, gets the weights, tracks the demo clip to an overlaid video
# make test   makes .venv, runs all tests
# make check  lint, types, and the fast tests, which need no weights: under a minute
# make lint   style and types

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: demo test check lint hooks clean

demo: $(INSTALLED)
	$(VENV)/bin/persam-track demo/clip.mp4 --first-mask demo/first_mask.png --overwrite

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest

check: lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not weights and not slow" -n auto

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

hooks: $(INSTALLED)
	$(VENV)/bin/pre-commit install

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("persam-video needs Python 3.11 or newer; give one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --progress-bar off -e ".[onnx,test,lint]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) demo/clip_persam

# make demo   makes .venv, gets the weights, tracks the demo clip to an overlaid video
# make test   makes .venv, passes the tests
# make lint   style and types

PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint clean

demo: $(INSTALLED)
	$(VENV)/bin/persam-track demo/clip.mp4 --first-mask demo/first_mask.png --overwrite

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("persam-video needs Python 3.10 or newer; give one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --progress-bar off -e ".[test,lint]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) demo/clip_persam

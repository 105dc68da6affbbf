"""A small, fixed part of ``tools/fuzz.py``: damaged inputs of every reader are read, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import READERS, inputs_of, outcome_of

_SLOW = {"targets"}
_PARAMETERS = [pytest.param(name, marks=[pytest.mark.slow] if name in _SLOW else []) for name in READERS]


@pytest.mark.parametrize("name", _PARAMETERS)
def test_damaged_inputs(name: str, tmp_path: Path) -> None:
    kinds = []
    for path in inputs_of(name, tmp_path, count=40, seed=1):
        kind, text = outcome_of(READERS[name], path)
        assert kind != "failed", f"{path.name}: {text}"
        kinds.append(kind)
    assert kinds[0] == "read" or name == "checkpoint", "the first one is not damaged"
    assert "refused" in kinds

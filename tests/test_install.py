"""The package can be installed beside the programs that its exports are for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = ("supervision", "label-studio-sdk", "datumaro", "gradio")


@pytest.mark.slow
def test_no_version_is_forced_on_others() -> None:
    """pip finds versions of everything that go together, with today's releases of all of them."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, str(ROOT), *PROGRAMS], capture_output=True, text=True, check=False, timeout=500)
    if (
        "Could not find a version that satisfies the requirement" in done.stderr
        and "from versions: none" in done.stderr
    ):
        pytest.skip("the registry cannot be reached")
    assert done.returncode == 0, done.stderr

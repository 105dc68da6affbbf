"""Log records and Python warnings in commands: one line each on stderr."""

from __future__ import annotations

import logging
import warnings

import pytest

from persam_video.cli.common import run


def test_warnings_are_single_lines_and_the_same_one_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("persam_video.inputs.first_mask")

    def main() -> int:
        logger.warning("a.png was resized")
        logger.warning("a.png was resized")
        logger.warning("b.png was resized")
        logger.info("not printed")
        warnings.warn("something else", UserWarning, stacklevel=1)
        return 0

    assert run("persam-track", main) == 0
    assert capsys.readouterr().err.splitlines() == [
        "persam-track: warning: a.png was resized",
        "persam-track: warning: b.png was resized",
        "persam-track: warning: something else",
    ]
    logger.warning("after the command")
    assert "persam-track" not in capsys.readouterr().err

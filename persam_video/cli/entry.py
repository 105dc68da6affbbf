"""Entry points of the commands. Imports nothing heavy, so that Ctrl-C during the imports ends like any other."""

from __future__ import annotations

import sys
from importlib import import_module

from persam_video.cli.signals import interruptible


def track() -> int:
    """``persam-track``."""
    return _main("track")


def davis() -> int:
    """``persam-davis``."""
    return _main("davis")


def segment() -> int:
    """``persam-segment``."""
    return _main("segment")


def export() -> int:
    """``persam-export``."""
    return _main("export")


def _main(command: str) -> int:
    with interruptible() as interruption:
        try:
            code: int = import_module(f"persam_video.cli.{command}").main()
        except BaseException:  # an import may make another error of an interruption
            if interruption.number is None:
                raise
            sys.stderr.write(f"persam-{command}: interrupted; nothing was written\n")
            return 128 + interruption.number
    return code

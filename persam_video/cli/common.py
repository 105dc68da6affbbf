"""What the commands have in common: one line for an error, exit codes, warnings, and how a time is written."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from tqdm import tqdm

from persam_video.errors import InputError, PersamError

EXIT_DAMAGED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def run(program: str, main: Callable[[], int]) -> int:
    """Run a command's main part; what this package raises becomes one line on stderr and an exit code."""

    def show_warning(message: Warning | str, *_: object, **__: object) -> None:
        tqdm.write(f"{program}: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.showwarning = show_warning
        try:
            return main()
        except PersamError as error:
            print(f"{program}: error: {error}", file=sys.stderr)
            return EXIT_USAGE if isinstance(error, InputError) else EXIT_DAMAGED
        except KeyboardInterrupt:
            print(f"{program}: interrupted; nothing was written", file=sys.stderr)
            return EXIT_INTERRUPTED


def frame_or_seconds(text: str) -> int | float:
    """``120`` is a frame's number (int); ``4.5s`` and ``1:30`` are times in seconds (float)."""
    try:
        if ":" in text:
            seconds = 0.0
            for part in text.split(":"):
                seconds = seconds * 60 + float(part)
            return seconds
        return float(text[:-1]) if text.endswith("s") else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a frame (120) nor a time (4.5s, or 1:30 for a minute and a half)"
        ) from None

"""Wording shared by error messages, warnings and reports."""

from __future__ import annotations

import unicodedata
import urllib.error
from collections.abc import Generator
from contextlib import contextmanager

from PIL import UnidentifiedImageError

_OPTIONS = {"later_masks": "mask_at"}
"""Arguments whose option has another name."""
_options_are_named = False
_MAX_LENGTH = 1000
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories: control characters, changes of direction, bytes that are no text, and breaks of lines."""
_JOINERS = "\u200c\u200d"  # also of these categories, but parts of words and emoji


def pluralize(number: int, noun: str) -> str:
    """A count with its noun: ``1 frame``, ``2 frames``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def one_line(error: BaseException) -> str:
    """The text of an exception in one line, without the path that the message around it names."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, UnidentifiedImageError):
        text = "unknown format"
    return " ".join(text.split()) or type(error).__name__


def printable(text: str) -> str:
    """Text in one line that is safe on a terminal: control characters as escapes, and the middle of a text of more than
    1,000 characters left out. Names of files, and the content of files, can hold anything."""
    safe = "".join(_escaped(each) if _is_unprintable(each) else each for each in text)
    half = _MAX_LENGTH // 2
    return safe if len(safe) <= _MAX_LENGTH else f"{safe[: half - 1]} … {safe[-half + 2 :]}"


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def parameter(name: str, value: object = None) -> str:
    """A parameter as the caller knows it.

    The library speaks of its arguments: ``start``, ``start=3``, ``overwrite=True``, ``device='cpu'``. Inside
    `name_options` it speaks of the commands' options: ``--start``, ``--start 3``, ``--overwrite``, ``--device cpu``.

    Args:
        name: of the argument.
        value: of the argument; None: the name alone.
    """
    if _options_are_named:
        option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
        return option if value is None or value is True else f"{option} {value}"
    return name if value is None else f"{name}={value!r}"


@contextmanager
def name_options() -> Generator[None, None, None]:
    """Let `parameter` name command-line options, for the whole process: a command runs."""
    global _options_are_named
    before, _options_are_named = _options_are_named, True
    try:
        yield
    finally:
        _options_are_named = before

"""JSON files, read so that everything wrong with one is an error of one line."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

from persam_video.errors import PersamError
from persam_video.files.regular_file import check_regular_file
from persam_video.messages import one_line


def read_json(path: str | Path, error_type: type[PersamError]) -> Any:
    """Content of a JSON file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Numbers may be ``NaN`` and infinite, as Python's own writer makes them.

    Args:
        error_type: raised, with a message of one line, for a path that is no regular file, and for a file that cannot
            be read, is not JSON, is nested too deep, or has an object with the same key twice.
    """
    if not isinstance(path, (str, PathLike)):
        raise error_type(f"a value of the type {type(path).__name__} is given as a JSON file; give the file's name")
    check_regular_file(path, error_type, wanted="a JSON file")
    try:
        return json.loads(Path(path).read_bytes(), object_pairs_hook=_object)
    except RecursionError:
        raise error_type(f"{path}: cannot be read as JSON (it is nested too deep)") from None
    except (OSError, ValueError) as error:  # ValueError: not JSON, not text, or a number of thousands of digits
        raise error_type(f"{path}: cannot be read as JSON ({one_line(error)})") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Object of its pairs; of two values with one key, JSON would keep the later one in silence."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shortened(twice)} occurs twice in one object")
    return content


def shortened(value: object) -> str:
    """A value out of a file as a message shows it, at most 40 characters long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return "a number of more than 40 digits"  # Python refuses to print thousands of them
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"

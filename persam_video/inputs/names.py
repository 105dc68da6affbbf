"""Names of objects, by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from persam_video.errors import AnnotationError
from persam_video.files.json_file import read_json, shortened
from persam_video.frame import MAX_OBJECT_ID
from persam_video.inputs.json_values import plain, whole

MAX_NAME = 100
"""Characters of a name."""


def read_names(path: str | Path) -> dict[int, str]:
    """Names in a JSON file: an object with ids as keys, ``{"1": "dog", "2": "ball"}``.

    Raises:
        AnnotationError: the file cannot be read, or an id or a name in it is none.
    """
    content = read_json(path, AnnotationError)
    if not isinstance(content, dict):
        raise AnnotationError(f'{path}: holds no names; it should be like {{"1": "dog", "2": "ball"}}')
    return check_names(content, source=f"{path}: ")


def check_names(names: Mapping[Any, Any] | str | Path | None, *, source: str = "") -> dict[int, str]:
    """Names by object id, checked.

    Args:
        names: by id, or a JSON file of them (`read_names`); None: there are none.
        source: what an error begins with.
    Raises:
        AnnotationError: an id is not a number from 1 to 254, or a name is no text that can be printed in a line.
    """
    if names is None:
        return {}
    if isinstance(names, (str, PathLike)):
        return read_names(names)
    if not isinstance(names, Mapping):
        raise AnnotationError(f"names are of the type {type(names).__name__}; give them by id, such as {{1: 'dog'}}")
    checked: dict[int, str] = {}
    for key, name in names.items():
        try:
            object_id = whole(plain(key))
        except ValueError:
            object_id = 0
        if not 1 <= object_id <= MAX_OBJECT_ID:
            raise AnnotationError(
                f"{source}a name is of the object {shortened(key)}; object ids are numbers from 1 to {MAX_OBJECT_ID}"
            )
        if object_id in checked:
            raise AnnotationError(f"{source}object {object_id} has two names; give one")
        fault = name_fault(name)
        if fault:
            raise AnnotationError(f"{source}the name of object {object_id} {fault}; give a word or a few")
        checked[object_id] = name.strip()
    return checked


def name_fault(name: object) -> str | None:
    """What is wrong with a name, in a few words; None: nothing."""
    if not isinstance(name, str):
        return f"is {shortened(name)}, which is no text"
    if not name.strip():
        return "is empty"
    if not name.isprintable():
        return f"has characters that cannot be printed ({shortened(name)!r})"
    if len(name) > MAX_NAME:
        return f"has {len(name)} characters, more than {MAX_NAME}"
    return None


def parse_names(text: str) -> dict[int, str]:
    """Names of an option's value, ``1=dog,2=ball``; the names themselves have no comma.

    Raises:
        AnnotationError: it is no such list, or an id or a name in it is none.
    """
    pairs = [each.partition("=") for each in text.split(",")]
    names: dict[str, str] = {}
    for object_id, equals, name in pairs:
        if not equals or object_id.strip() in names:
            raise AnnotationError(
                f"the names {shortened(text)}: give each object's id and name once, as 1=dog,2=ball, or a JSON file"
            )
        names[object_id.strip()] = name
    return check_names(names)

"""``run.json``: record of how the masks in a results folder were made."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from persam_video.errors import InputError, OutputError
from persam_video.files.atomic import write_atomic
from persam_video.files.json_file import read_json, shortened
from persam_video.messages import parameter, pluralize, printable

RUN_FILE = "run.json"
logger = logging.getLogger(__name__)

_MAX_DEPTH = 20
"""Levels of a file; a record has five, and Python's own writer gives up at some hundred."""
_MAX_COUNT = 10**9
"""Of frames, objects, threads and seconds: sums and quotients of them are finite."""


def read_run_record(folder: Path) -> dict[str, Any]:
    """Content of a results folder's ``run.json``; empty if there is none. Everything that is read of it later has the
    type that `DatasetRun` writes.

    Raises:
        InputError: the file cannot be read, or is not such a record.
        OutputError: the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; results are written to a folder")
    try:
        return _read(folder / RUN_FILE)
    except InputError as error:
        overwrite = parameter("overwrite", True)
        raise InputError(
            f"{error}; give another folder, or remove the file and give {overwrite} to track everything again"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content = read_json(path, InputError)
    fault = _fault(content)
    if fault is not None:
        raise InputError(f"{path}: is not the record of an earlier run ({fault})")
    return dict(content)


def _fault(content: Any) -> str | None:
    """What of a file's content is not as `DatasetRun` writes it, in a few words; None: nothing."""
    if not _is_shallow(content, _MAX_DEPTH):
        return "it is nested too deep"
    records = content.get("sequences") if isinstance(content, dict) else None
    if not isinstance(records, dict):
        return "it has no sequences"
    for name, record in records.items():
        if not isinstance(record, dict) or not isinstance(record.get("done", False), bool):
            return f"{shortened(name)} is no record of a sequence"
        wrong = _wrong_keys(record, _FINISHED) if record.get("done") else None
        if wrong:
            return f"{wrong[0]} of {shortened(name)} is missing or of another type"
    return None


def _is_shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in inner)


_Check = Callable[[Any], bool]


def _wrong_keys(value: Any, checks: Mapping[str, _Check]) -> list[str]:
    """Keys that an object of JSON lacks, or whose values fail their checks; all of them of anything else."""
    return [key for key, check in checks.items() if not isinstance(value, dict) or not check(value.get(key))]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT


def _is_seconds(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value <= _MAX_COUNT


def _all(check: _Check) -> _Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _with(checks: Mapping[str, _Check]) -> _Check:
    return lambda value: not _wrong_keys(value, checks)


_FINISHED: dict[str, _Check] = {
    "frames": _is_count,
    "objects": _is_count,
    "seconds": _all(_is_seconds),
    "finished": _is_text,
    "settings": _with(
        {
            "method": _is_text_or_none,  # missing in records of version 0.1
            "model": _is_text,
            "precision": _is_text,
            "checkpoint": _is_text_or_none,
            "checkpoint_sha256": _is_text_or_none,
            "persam_video": _is_text,
            "code_sha256": _is_text,
        }
    ),
    "device": _with({"type": _is_text, "name": _is_text, "threads": _is_count}),
    "versions": _all(_is_text),
}
"""Keys of a finished sequence's record that are read later, with the checks of their values."""


def write_run_record(folder: Path, content: dict[str, Any]) -> None:
    """Write or replace a results folder's ``run.json``.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomic(folder / RUN_FILE, json.dumps(content, indent=1) + "\n")


def describe_record(folder: Path, sequences: Iterable[str]) -> dict[str, str]:
    """Labels and values that describe how the masks of some sequences were made; empty where that is not recorded. A
    record that is damaged, or of another program, is named in a warning."""
    try:
        content = _read(folder / RUN_FILE)
    except (InputError, OSError) as error:
        logger.warning("%s; the report does not say how the masks were made", error)
        return {}
    records = [content["sequences"].get(name, {}) for name in sequences] if content else []
    if not records or not all(record.get("done") for record in records):
        return {}
    first = records[0]
    for key, difference in (("settings", "of several models or settings"), ("device", "of several devices")):
        if any(_common(record[key]) != _common(first[key]) for record in records):
            return {"masks": printable(f"{difference}: see {folder / RUN_FILE}")}
    settings, device = first["settings"], first["device"]
    threads = f", {pluralize(device['threads'], 'torch thread')}" if device["type"] == "cpu" else ""
    about = {
        "method": settings.get("method") or "not recorded",
        "model": f"{settings['model']}, {settings['precision']}",
        "weights": f"{settings['checkpoint']}, SHA-256 {settings['checkpoint_sha256']}",
        "device": device["name"] + threads,
        "versions": ", ".join(f"{name} {number}" for name, number in first["versions"].items()),
        "code": f"persam-video {settings['persam_video']}, SHA-256 {settings['code_sha256'][:12]}…",
        "finished": max(record["finished"] for record in records),
    }
    return {label: printable(value) for label, value in about.items()}


def _common(part: dict[str, Any]) -> dict[str, Any]:
    """Entries that do not depend on the sequence."""
    return {key: value for key, value in part.items() if key != "inputs_sha256"}

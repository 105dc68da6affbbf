"""``run.json``: record of how the masks in a results folder were made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from persam_video.errors import InputError, OutputError
from persam_video.files.atomic import write_atomic
from persam_video.messages import one_line, parameter, pluralize

RUN_FILE = "run.json"

_FINISHED_KEYS = {"settings", "device", "versions", "frames", "objects", "seconds", "finished"}


def read_run_record(folder: Path) -> dict[str, Any]:
    """Content of a results folder's ``run.json``; empty if there is none.

    Raises:
        InputError: the file cannot be read, or is not such a record.
        OutputError: the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; results are written to a folder")
    path = folder / RUN_FILE
    advice = (
        f"give another folder, or remove the file and give {parameter('overwrite', True)} to track everything again"
    )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); {advice}") from error
    records = content.get("sequences") if isinstance(content, dict) else None
    if not isinstance(records, dict) or not all(_is_record(each) for each in records.values()):
        raise InputError(f"{path}: is not the record of an earlier run; {advice}")
    return dict(content)


def _is_record(value: Any) -> bool:
    """Whether a value is a sequence's record: if it is done, it has every key that is read later."""
    return isinstance(value, dict) and (not value.get("done") or value.keys() >= _FINISHED_KEYS)


def write_run_record(folder: Path, content: dict[str, Any]) -> None:
    """Write or replace a results folder's ``run.json``.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomic(folder / RUN_FILE, json.dumps(content, indent=1) + "\n")


def describe_record(folder: Path, sequences: Iterable[str]) -> dict[str, str]:
    """Labels and values that describe how the masks of some sequences were made; empty where that is not recorded."""
    try:
        content = read_run_record(folder)
    except InputError:  # written by another program
        return {}
    records = [content["sequences"].get(name, {}) for name in sequences] if content else []
    if not records or not all(record.get("done") for record in records):
        return {}
    first = records[0]
    for key, difference in (("settings", "of several models or settings"), ("device", "of several devices")):
        if any(_common(record[key]) != _common(first[key]) for record in records):
            return {"masks": f"{difference}: see {folder / RUN_FILE}"}
    settings, device = first["settings"], first["device"]
    threads = f", {pluralize(device['threads'], 'torch thread')}" if device["type"] == "cpu" else ""
    return {
        "method": settings.get("method", "not recorded"),
        "model": f"{settings['model']}, {settings['precision']}",
        "weights": f"{settings['checkpoint']}, SHA-256 {settings['checkpoint_sha256']}",
        "device": device["name"] + threads,
        "versions": ", ".join(f"{name} {number}" for name, number in first["versions"].items()),
        "code": f"persam-video {settings['persam_video']}, SHA-256 {settings['code_sha256'][:12]}…",
        "finished": max(record["finished"] for record in records),
    }


def _common(part: dict[str, Any]) -> dict[str, Any]:
    """Entries that do not depend on the sequence."""
    return {key: value for key, value in part.items() if key != "inputs_sha256"}

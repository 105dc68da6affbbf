"""``run.json``: what a folder of results says of how its masks were made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from persam_video.errors import InputError, OutputError
from persam_video.files.atomic import write_atomic
from persam_video.messages import one_line

RUN_FILE = "run.json"

_KEYS = {"settings", "device", "versions", "frames", "objects", "seconds", "finished"}
_ADVICE = "name another folder, or remove the file and give --overwrite to track all anew"


def read_run_record(folder: Path) -> dict[str, Any]:
    """What ``run.json`` in a folder of results says; nothing if there is none.

    Raises:
        InputError: it is no such record.
        OutputError: the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; results are written to a folder")
    path = folder / RUN_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); {_ADVICE}") from error
    records = content.get("sequences") if isinstance(content, dict) else None
    if not isinstance(records, dict) or not all(_is_record(each) for each in records.values()):
        raise InputError(f"{path}: is no record of an earlier run; {_ADVICE}")
    return dict(content)


def _is_record(value: Any) -> bool:
    """What is done must have all that is asked for later."""
    return isinstance(value, dict) and (not value.get("done") or value.keys() >= _KEYS)


def write_run_record(folder: Path, content: dict[str, Any]) -> None:
    """Replace ``run.json``.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomic(folder / RUN_FILE, json.dumps(content, indent=1) + "\n")


def describe_record(folder: Path, sequences: Iterable[str]) -> dict[str, str]:
    """The record of some sequences for a person: label and value; nothing where there is none."""
    try:
        content = read_run_record(folder)
    except InputError:  # another program's
        return {}
    records = [content["sequences"].get(name, {}) for name in sequences] if content else []
    if not records or not all(record.get("done") for record in records):
        return {}
    first = records[0]
    for name, what in (("settings", "of several models or settings"), ("device", "of several devices")):
        if any(_common(record[name]) != _common(first[name]) for record in records):
            return {"masks": f"{what}: see {folder / RUN_FILE}"}
    settings, device = first["settings"], first["device"]
    return {
        "method": settings.get("method", "of an earlier version"),
        "model": f"{settings['model']}, {settings['precision']}",
        "weights": f"{settings['checkpoint']}, SHA-256 {settings['checkpoint_sha256']}",
        "device": device["name"] + (f", torch with {device['threads']} of them" if device["type"] == "cpu" else ""),
        "versions": ", ".join(f"{name} {number}" for name, number in first["versions"].items()),
        "code": f"persam-video {settings['persam_video']}, SHA-256 {settings['code_sha256'][:12]}…",
        "finished": max(record["finished"] for record in records),
    }


def _common(part: dict[str, Any]) -> dict[str, Any]:
    """Without what is a sequence's own."""
    return {key: value for key, value in part.items() if key != "inputs_sha256"}

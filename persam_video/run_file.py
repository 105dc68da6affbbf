"""``run.json``: what a folder of results says of how its masks were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from persam_video.errors import InputError
from persam_video.whole_file import write_whole

RUN_FILE = "run.json"


def read_run_file(folder: Path) -> dict[str, Any]:
    """What ``run.json`` in a folder of results says; nothing if there is none.

    Raises:
        InputError: it is no such record.
    """
    path = folder / RUN_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it, or name another folder") from error
    if not isinstance(content, dict) or not isinstance(content.get("sequences"), dict):
        raise InputError(f"{path}: is no record of an earlier run; remove it, or name another folder")
    return content


def write_run_file(folder: Path, content: dict[str, Any]) -> None:
    """Replace ``run.json``.

    Raises:
        OutputError: it cannot be written.
    """
    write_whole(folder / RUN_FILE, json.dumps(content, indent=1) + "\n")


def in_words(content: dict[str, Any]) -> dict[str, str]:
    """The record for a person: label and value."""
    if not content:
        return {}
    settings, device, versions = content["settings"], content["device"], content["versions"]
    finished = [record["finished"] for record in content["sequences"].values() if "finished" in record]
    words = {
        "model": f"{settings['model']}, {settings['precision']}",
        "weights": f"{settings['checkpoint']}, SHA-256 {settings['checkpoint_sha256']}",
        "device": device["name"] + (f", torch with {device['threads']} of them" if device["type"] == "cpu" else ""),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "code": f"persam-video {settings['persam_video']}, SHA-256 {settings['code_sha256'][:12]}…",
    }
    return {**words, "finished": max(finished)} if finished else words

"""``run.json``: anything that another program, a person or a damaged disk may have left there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from persam_video.errors import InputError, OutputError
from persam_video.evaluation.run_record import describe_record, read_run_record, write_run_record


def finished() -> dict[str, Any]:
    """Record of a sequence as `DatasetRun` writes it."""
    return {
        "done": True,
        "frames": 12,
        "objects": 2,
        "seconds": {"read": 0.1, "encode": 1.0, "track": 0.5, "write": 0, "whole": 1.5},
        "frames_per_second": 8.0,
        "finished": "2026-01-01T00:00:00+00:00",
        "settings": {
            "method": "appearance",
            "model": "vit_t",
            "checkpoint": "mobile_sam.pt",
            "checkpoint_sha256": "0" * 64,
            "precision": "float32",
            "size": 1024,
            "persam_video": "0.2.0",
            "code_sha256": "1" * 64,
            "inputs_sha256": "2" * 64,
        },
        "device": {"type": "cpu", "name": "a CPU", "threads": 2},
        "versions": {"python": "3.11", "torch": "2.9"},
    }


def changed(path: str, value: object) -> dict[str, Any]:
    """Content of a file of two records, with something else at a place of the second one; ``...``: nothing there."""
    content = {"sequences": {"dog": finished(), "cat": finished()}}
    *keys, last = path.split(".")
    place: Any = content["sequences"]["cat"]
    for key in keys:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


def write(folder: Path, text: str | bytes) -> Path:
    (folder / "run.json").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def refusal(folder: Path) -> str:
    """The message with which a record is refused; reports say nothing of it."""
    with pytest.raises(InputError) as error:
        read_run_record(folder)
    assert describe_record(folder, ["dog", "cat"]) == {}
    message = str(error.value)
    assert message.startswith(f"{folder / 'run.json'}: ")
    assert "give another folder, or remove the file and give overwrite=True" in message
    assert "\n" not in message
    return message


def test_a_report_without_a_record_warns_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert describe_record(tmp_path, ["dog"]) == {}
    assert not caplog.records
    assert describe_record(write(tmp_path, '{"lr": 0.1}'), ["dog"]) == {}
    assert caplog.messages == [
        f"{tmp_path / 'run.json'}: is not the record of an earlier run (it has no sequences); "
        "the report does not say how the masks were made"
    ]


def test_what_is_written_is_read_and_described(tmp_path: Path) -> None:
    content = {"sequences": {"dog": finished(), "cat": {**finished(), "finished": "2026-01-02T00:00:00+00:00"}}}
    assert read_run_record(tmp_path) == {}
    write_run_record(tmp_path, content)
    assert read_run_record(tmp_path) == content
    about = describe_record(tmp_path, ["dog", "cat"])
    assert about["model"] == "vit_t, float32"
    assert about["weights"] == f"mobile_sam.pt, SHA-256 {'0' * 64}"
    assert about["device"] == "a CPU, 2 torch threads"
    assert about["finished"] == "2026-01-02T00:00:00+00:00"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_editor_may_have_added_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    content = {"sequences": {"dog": finished()}}
    write(tmp_path, json.dumps(content).encode(encoding))
    assert read_run_record(tmp_path) == content


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("method", "appearance"),  # a key that nobody reads
        ("settings.method", ...),  # version 0.1 recorded none
        ("settings.checkpoint", None),
        ("settings.size", [1, 2]),
        ("done", False),
        ("done", ...),
    ],
)
def test_what_is_never_read_may_be_anything(tmp_path: Path, path: str, value: object) -> None:
    content = changed(path, value)
    write(tmp_path, json.dumps(content))
    assert read_run_record(tmp_path) == content
    describe_record(tmp_path, ["dog", "cat"])


@pytest.mark.parametrize("value", [..., None, True, [], {"a": {}}, 10**30, -1, float("nan"), 1e300])
@pytest.mark.parametrize(
    "path",
    [
        "frames",
        "objects",
        "seconds",
        "seconds.whole",
        "finished",
        "settings",
        "settings.model",
        "settings.precision",
        "settings.persam_video",
        "settings.code_sha256",
        "device",
        "device.type",
        "device.name",
        "device.threads",
        "versions",
        "versions.torch",
    ],
)
def test_wrong_types_are_refused(tmp_path: Path, path: str, value: object) -> None:
    if value is ... and path in ("seconds.whole", "versions.torch"):
        return  # these may be missing
    write(tmp_path, json.dumps(changed(path, value)))
    assert f"is not the record of an earlier run ({path.split('.')[0]} of cat is missing or" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
        (b"\xff\x00\xfe", "cannot be read as JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"sequences": ' + '{"a":' * 500 + "1" + "}" * 501, "nested too deep"),
        ('{"sequences": {}, "more": ' + "[" * 30 + "]" * 30 + "}", "nested too deep"),
        ('{"sequences": {"dog": {"frames": ' + "9" * 5000 + "}}}", "cannot be read as JSON"),
        ("[]", "it has no sequences"),
        ("3", "it has no sequences"),
        ('{"sequences": [1]}', "it has no sequences"),
        ('{"sequences": {"dog": 3}}', "dog is no record of a sequence"),
        ('{"sequences": {"dog": {"done": "yes"}}}', "dog is no record of a sequence"),
        ('{"sequences": {"dog": {"done": true}}}', "frames of dog is missing"),
        ('{"sequences": {"\\ud800\\n": 3}}', r"\ud800\n is no record"),
        ('{"sequences": {}, "sequences": {}}', "sequences occurs twice"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, text: str | bytes, fault: str) -> None:
    assert fault in refusal(write(tmp_path, text))


def test_other_things_than_files(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "run.json").rmdir()
    os.mkfifo(tmp_path / "run.json")
    assert "is a FIFO" in refusal(tmp_path)
    file = tmp_path / "results"
    file.touch()
    with pytest.raises(OutputError, match="is a file; results are written to a folder"):
        read_run_record(file)


def test_text_that_no_encoding_has_is_escaped_in_a_report(tmp_path: Path) -> None:
    write(tmp_path, json.dumps(changed("device.name", "\ud800\x1b[2J")))
    assert describe_record(tmp_path, ["cat"])["device"] == "\\ud800\\x1b[2J, 2 torch threads"

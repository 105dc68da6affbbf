"""Atomic writing: complete or not at all, and no temporary files or folders are left behind."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from persam_video.errors import OutputError
from persam_video.files.atomic import check_writable, write_atomic
from persam_video.files.output_file import OutputFile


@pytest.mark.parametrize("name", [".", "/"])
def test_a_folder_without_a_name(name: str) -> None:
    for work in (check_writable, partial(OutputFile, overwrite=True)):
        with pytest.raises(OutputError, match="is a folder"):
            work(Path(name))


def test_text_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    write_atomic(path, "äöü")
    assert path.read_bytes() == "äöü".encode()
    write_atomic(path, b"\0\1")
    assert path.read_bytes() == b"\0\1"
    assert list(path.parent.iterdir()) == [path]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    write_atomic(link, "content")
    assert link.is_symlink()
    assert (tmp_path / "target").read_text() == "content"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    old = tmp_path / "old.txt"
    old.write_text("old")
    monkeypatch.setattr(Path, "write_bytes", fail)
    for path in (old, tmp_path / "a" / "b" / "new.txt"):
        with pytest.raises(OutputError) as caught:
            write_atomic(path, "new")
        assert str(caught.value) == f"{path} cannot be written (No space left on device); give another file"
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_text() == "old"


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.touch()
    check_writable(old)
    check_writable(tmp_path / "a" / "b" / "new", overwrite=False)
    for path, overwrite, message in (
        (old, False, "exists already; give overwrite=True to replace it"),
        (tmp_path, True, "cannot be written (it is a folder); give the name of a file"),
        (old / "a" / "new", True, f"cannot be written ({old} is a file, not a folder); give another file"),
    ):
        with pytest.raises(OutputError) as caught:
            check_writable(path, overwrite=overwrite)
        assert str(caught.value) == f"{path} {message}"

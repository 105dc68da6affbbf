from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persam_video.errors import OutputError
from persam_video.files.palette_png import read_palette_png, write_palette_png
from persam_video.outputs import mask_writer
from persam_video.outputs.mask_writer import MaskWriter

LABELS = np.arange(48, dtype=np.uint8).reshape(6, 8)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def refused(folder: Path, *, overwrite: bool = False) -> str:
    with pytest.raises(OutputError) as caught:
        MaskWriter(folder, overwrite=overwrite)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder))
    return message


def old_masks(folder: Path, count: int) -> None:
    folder.mkdir()
    for i in range(count):
        write_palette_png(folder / f"{i:05d}.png", np.full((4, 4), 200, np.uint8))


def fail(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_writes_masks(tmp_path: Path) -> None:
    writer = MaskWriter(str(tmp_path / "deep" / "er" / "out"))
    assert isinstance(writer, MaskWriter)
    assert writer.count == 0
    for i in range(3):
        writer.write(f"{i:05d}", LABELS + np.uint8(i))
        assert writer.count == i + 1
    writer.write("clip.v1 ü", LABELS)
    writer.close()
    folder = tmp_path / "deep" / "er" / "out"
    assert writer.folder == folder
    assert names(folder) == ["00000.png", "00001.png", "00002.png", "clip.v1 ü.png"]
    for i in range(3):
        assert np.array_equal(read_palette_png(folder / f"{i:05d}.png"), LABELS + np.uint8(i))


def test_an_existing_folder_with_other_files_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    writer = MaskWriter(tmp_path)
    writer.write("0", LABELS)
    assert names(tmp_path) == ["0.png", "notes.txt"]


def test_a_closed_writer_does_not_write(tmp_path: Path) -> None:
    for end in (MaskWriter.close, MaskWriter.discard):
        writer = MaskWriter(tmp_path / end.__name__)
        end(writer)
        end(writer)
        with pytest.raises(ValueError, match="closed"):
            writer.write("0", LABELS)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "../a", "a\0b"])
def test_invalid_names(tmp_path: Path, name: str) -> None:
    writer = MaskWriter(tmp_path)
    with pytest.raises(ValueError, match="is not a file name"):
        writer.write(name, LABELS)


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    writer = MaskWriter(tmp_path)
    with pytest.raises(ValueError, match="uint8, H×W"):
        writer.write("0", LABELS.astype(np.int64))  # type: ignore[arg-type]
    assert names(tmp_path) == []


def test_two_frames_of_one_name(tmp_path: Path) -> None:
    writer = MaskWriter(tmp_path)
    writer.write("0", LABELS)
    with pytest.raises(OutputError, match=r"0\.png was written for an earlier frame"):
        writer.write("0", LABELS + np.uint8(1))
    assert np.array_equal(read_palette_png(tmp_path / "0.png"), LABELS)


# ---- refusals: nothing is changed ----


def test_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for overwrite in (False, True):
        assert "is a file" in refused(tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out").read_text() == "mine"


def test_parent_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "cannot be written to" in refused(tmp_path / "file" / "a" / "out")
    assert names(tmp_path) == ["file"]


def test_folder_holds_masks(tmp_path: Path) -> None:
    old_masks(tmp_path / "out", 2)
    message = refused(tmp_path / "out")
    assert message == f"{tmp_path / 'out'} holds masks already; give overwrite=True to replace them"
    assert names(tmp_path / "out") == ["00000.png", "00001.png"]


def test_folder_holds_other_images(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.PNG")
    assert "PNG files that are not masks (photo.PNG)" in refused(tmp_path)
    assert names(tmp_path) == ["photo.PNG"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_not_writable(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o500)
    try:
        assert "Permission denied" in refused(folder)
        assert "Permission denied" in refused(folder / "new" / "er")
        assert names(folder) == []
    finally:
        folder.chmod(0o700)


def test_not_writable_leaves_no_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "touch", lambda *_, **__: fail())
    assert "(No space left on device)" in refused(tmp_path / "a" / "b" / "out")
    assert names(tmp_path) == []


# ---- overwriting ----


def test_old_masks_are_removed_with_the_first_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    old_masks(folder, 5)
    writer = MaskWriter(folder, overwrite=True)
    assert len(names(folder)) == 5  # a run that fails before its first frame loses nothing
    writer.write("00001", LABELS)
    assert names(folder) == ["00001.png"]
    writer.write("00002", LABELS)
    writer.close()
    assert names(folder) == ["00001.png", "00002.png"]
    assert np.array_equal(read_palette_png(folder / "00001.png"), LABELS)


def test_old_masks_outside_the_written_part_of_a_video_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    old_masks(folder, 8)
    write_palette_png(folder / "00010.png", LABELS)
    writer = MaskWriter(folder, overwrite=True, keep_earlier=True, keep_later=True)
    for name in ("00002", "00004", "00006"):
        writer.write(name, LABELS)
    writer.close()
    assert names(folder) == [f"{i:05d}.png" for i in (0, 1, 2, 4, 6, 7, 10)]
    assert np.array_equal(read_palette_png(folder / "00004.png"), LABELS)
    writer = MaskWriter(folder, overwrite=True, keep_earlier=True)
    writer.write("00004", LABELS)
    writer.close()
    assert names(folder) == [f"{i:05d}.png" for i in (0, 1, 2, 4)]


def test_nothing_but_masks_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    old_masks(folder, 2)
    Image.new("RGB", (4, 4)).save(folder / "photo.png")
    Image.new("L", (4, 4)).save(folder / "grey.png")
    other_palette = Image.new("P", (4, 4))
    other_palette.putpalette([9] * 768)
    other_palette.save(folder / "other.png")
    (folder / "text.png").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    (folder / "sub.png").mkdir()
    write_palette_png(folder / "sub.png" / "0.png", LABELS)
    mine = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.stem[0] != "0"}
    writer = MaskWriter(folder, overwrite=True)
    writer.write("new", LABELS)
    writer.close()
    assert names(folder) == sorted([*mine, "sub.png", "new.png"])
    assert {name: (folder / name).read_bytes() for name in mine} == mine
    assert names(folder / "sub.png") == ["0.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_are_not_written_over(tmp_path: Path, overwrite: bool) -> None:
    folder = tmp_path / "out"
    old_masks(folder, 2) if overwrite else folder.mkdir()
    writer = MaskWriter(folder, overwrite=overwrite)
    Image.new("RGB", (4, 4), (1, 2, 3)).save(folder / "photo.png")
    before = names(folder)
    with pytest.raises(OutputError, match=r"photo\.png exists and is not an old mask"):
        writer.write("photo", LABELS)
    assert names(folder) == before
    with Image.open(folder / "photo.png") as image:
        assert image.getpixel((0, 0)) == (1, 2, 3)


def test_without_overwrite_masks_of_another_run_are_left_alone(tmp_path: Path) -> None:
    writer = MaskWriter(tmp_path / "out")
    write_palette_png(tmp_path / "out" / "00000.png", LABELS)
    writer.write("00001", LABELS)
    assert names(tmp_path / "out") == ["00000.png", "00001.png"]
    with pytest.raises(OutputError, match=r"00000\.png exists"):
        writer.write("00000", LABELS)


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_writers_of_one_folder(tmp_path: Path, overwrite: bool) -> None:
    writer = MaskWriter(tmp_path / "out")
    assert "another run is writing to it" in refused(tmp_path / "out", overwrite=overwrite)
    writer.write("00000", LABELS)
    writer.close()
    MaskWriter(tmp_path / "out", overwrite=True).close()
    assert names(tmp_path / "out") == ["00000.png"]


def test_what_a_dead_run_left_is_removed_and_no_link_is_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".mask-999999999.part").write_text("of a process that is dead")
    (folder / f".mask-{os.getppid()}.part").write_text("of a process that is running")
    (folder / f".mask-{os.getpid()}.part").symlink_to(victim)
    writer = MaskWriter(folder)
    (folder / f".mask-{os.getpid()}.part").symlink_to(victim)
    writer.write("00000", LABELS)
    writer.close()
    assert names(folder) == [f".mask-{os.getppid()}.part", "00000.png"]
    assert victim.read_text() == "mine"


# ---- failures while writing ----


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    old_masks(folder, 2)
    writer = MaskWriter(folder, overwrite=True)

    def half(file: object, label_map: object) -> None:
        file.write(b"\x89PNG half of it")  # type: ignore[attr-defined]
        fail()

    monkeypatch.setattr(mask_writer, "write_palette_png", half)
    with pytest.raises(OutputError) as caught:
        writer.write("00000", LABELS)
    assert str(caught.value) == f"{folder / '00000.png'} cannot be written (No space left on device)"
    assert names(folder) == ["00000.png", "00001.png"]
    assert read_palette_png(folder / "00000.png").max() == 200  # the old one, intact
    assert writer.count == 0


def test_a_mask_gets_its_name_only_when_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = MaskWriter(tmp_path)
    seen: list[str] = []

    def spy(file: object, label_map: np.ndarray) -> None:
        write_palette_png(file, label_map)  # type: ignore[arg-type]
        seen.extend(names(tmp_path))

    monkeypatch.setattr(mask_writer, "write_palette_png", spy)
    writer.write("00000", LABELS)
    assert len(seen) == 1
    assert not seen[0].endswith(".png")
    assert names(tmp_path) == ["00000.png"]


def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    writer = MaskWriter(tmp_path)
    monkeypatch.setattr(mask_writer, "write_palette_png", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.write("00000", LABELS)
    assert names(tmp_path) == []


def test_folder_vanishes(tmp_path: Path) -> None:
    writer = MaskWriter(tmp_path / "out")
    (tmp_path / "out").rmdir()
    with pytest.raises(OutputError, match=r"00000\.png cannot be written \(No such file"):
        writer.write("00000", LABELS)
    writer.discard()


# ---- discarding ----


def test_discard_removes_masks_and_created_folders(tmp_path: Path) -> None:
    writer = MaskWriter(tmp_path / "a" / "b" / "out")
    writer.write("00000", LABELS)
    writer.discard()
    assert names(tmp_path) == []
    assert writer.count == 0


def test_discard_leaves_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    writer = MaskWriter(folder)
    writer.write("00000", LABELS)
    writer.discard()
    assert names(folder) == ["notes.txt"]
    (folder / "notes.txt").unlink()
    MaskWriter(folder).discard()
    assert folder.is_dir()  # empty, but not made here


def test_discard_leaves_a_created_folder_with_other_files(tmp_path: Path) -> None:
    writer = MaskWriter(tmp_path / "a" / "out")
    writer.write("00000", LABELS)
    (tmp_path / "a" / "out" / "notes.txt").write_text("mine")
    writer.discard()
    assert names(tmp_path / "a" / "out") == ["notes.txt"]


def test_discard_before_the_first_frame_keeps_old_masks(tmp_path: Path) -> None:
    old_masks(tmp_path / "out", 3)
    MaskWriter(tmp_path / "out", overwrite=True).discard()
    assert len(names(tmp_path / "out")) == 3

"""Reserved names of outputs: locks, files of dead processes, and inputs and outputs that are the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from persam_video.errors import OutputError
from persam_video.files.atomic import create_exclusively, hidden_path, partial_path
from persam_video.files.locks import OutputLock, exclusive
from persam_video.files.output_file import OutputFile
from persam_video.files.overlaps import InputPath, OutputPath, refuse_overlaps


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


class TestOutputFile:
    def test_it_is_reserved_until_it_is_released(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "o.mp4"
        file = OutputFile(path, overwrite=False)
        with pytest.raises(OutputError, match="another run is writing to it"):
            OutputFile(path, overwrite=True)
        create_exclusively(file.partial)
        file.release()
        file.release()
        assert names(tmp_path) == []

    def test_a_finished_file_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "o.mp4"
        file = OutputFile(path, overwrite=False)
        path.write_text("done")
        file.release()
        assert names(path.parent) == ["o.mp4"]
        with pytest.raises(OutputError, match="exists already"):
            OutputFile(path, overwrite=False)
        assert names(path.parent) == ["o.mp4"]

    def test_it_goes_with_its_process(self, tmp_path: Path) -> None:
        path = tmp_path / "o.mp4"
        code = (
            "import os, sys; from pathlib import Path; from persam_video.files.output_file import OutputFile\n"
            "file = OutputFile(Path(sys.argv[1]), overwrite=False); file.partial.write_text('half')\n"
            "print('ready', flush=True); sys.stdin.read(); os.kill(os.getpid(), 9)"
        )
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=pipe, stdout=pipe) as child:
            assert child.stdout is not None
            assert child.stdin is not None
            assert child.stdout.readline() == b"ready\n"
            with pytest.raises(OutputError, match="another run"):
                OutputFile(path, overwrite=True)
            child.stdin.close()
            child.wait()
        assert len(names(tmp_path)) == 2  # the lock and the partial file of the dead process
        OutputFile(path, overwrite=False).release()
        assert names(tmp_path) == []

    @pytest.mark.parametrize("name", ["o" * 246 + ".mp4", "ö" * 120 + ".mp4"])
    def test_names_that_leave_no_room_for_a_suffix(self, tmp_path: Path, name: str) -> None:
        file = OutputFile(tmp_path / name, overwrite=False)
        create_exclusively(file.partial)
        file.partial.replace(file.path)
        file.release()
        assert names(tmp_path) == [name]

    def test_a_name_that_is_too_long_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="File name too long"):
            OutputFile(tmp_path / "new" / ("o" * 300), overwrite=False)
        assert names(tmp_path) == []

    def test_hidden_names_differ(self, tmp_path: Path) -> None:
        long = [hidden_path(tmp_path / (letter * 255), ".lock") for letter in "ab"]
        assert long[0] != long[1]
        assert hidden_path(tmp_path / "o.mp4", ".lock").name == ".o.mp4.lock"
        assert partial_path(tmp_path / "o.mp4").name == f".o.mp4-{os.getpid()}.part"


class TestLocks:
    def test_a_folder(self, tmp_path: Path) -> None:
        lock = OutputLock(tmp_path)
        with pytest.raises(OutputError, match="another run"):
            OutputLock(tmp_path)
        assert names(tmp_path) == []
        lock.release()
        OutputLock(tmp_path).release()

    def test_changes_of_one_file_wait_for_each_other(self, tmp_path: Path) -> None:
        path = tmp_path / "count"
        path.write_text("0")

        def count() -> None:
            for _ in range(20):
                with exclusive(path):
                    path.write_text(str(int(path.read_text()) + 1))

        threads = [threading.Thread(target=count) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert path.read_text() == "80"
        assert names(tmp_path) == ["count"]


class TestOverlaps:
    def test_an_output_that_is_an_input(self, tmp_path: Path) -> None:
        video = tmp_path / "v.mp4"
        video.touch()
        (tmp_path / "link.mp4").symlink_to(video)
        os.link(video, tmp_path / "hard.mp4")
        for path in (video, tmp_path / "x" / ".." / "v.mp4", tmp_path / "link.mp4", tmp_path / "hard.mp4"):
            with pytest.raises(OutputError, match="is an input"):
                refuse_overlaps([InputPath(video)], [OutputPath(path)])
        refuse_overlaps([InputPath(video)], [OutputPath(tmp_path / "v.mp4.mp4"), OutputPath(tmp_path, is_folder=True)])

    def test_a_folder_of_outputs_with_masks_of_the_input(self, tmp_path: Path) -> None:
        mask = InputPath(tmp_path / "00000.png", is_mask=True)
        with pytest.raises(OutputError, match="holds the input"):
            refuse_overlaps([mask], [OutputPath(tmp_path, is_folder=True)])
        refuse_overlaps([mask], [OutputPath(tmp_path / "masks", is_folder=True), OutputPath(tmp_path / "o.mp4")])

    def test_two_outputs_of_one_name(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="two outputs"):
            refuse_overlaps([], [OutputPath(tmp_path / "a"), OutputPath(tmp_path / "b" / ".." / "a")])
        with pytest.raises(OutputError, match="which is a file"):
            refuse_overlaps([], [OutputPath(tmp_path / "a" / "masks", is_folder=True), OutputPath(tmp_path / "a")])
        refuse_overlaps([], [OutputPath(tmp_path / "a", is_folder=True), OutputPath(tmp_path / "a" / "o.mp4")])

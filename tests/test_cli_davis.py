"""``persam-davis`` end to end: output, files, exit codes, and invalid input."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from colour_sam import ColourSam
from davis_data import make_dataset, write_frame
from demo_scene import DemoScene

from persam_video.cli.davis import main
from persam_video.evaluation.davis.dataset import open_dataset
from persam_video.evaluation.davis.scoring import evaluate
from persam_video.files.palette_png import read_palette_png, write_palette_png

PROGRAM = [sys.executable, "-m", "persam_video.cli.davis"]


@dataclass
class Run:
    done: subprocess.CompletedProcess[str]
    root: Path
    out: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, demo_scene: DemoScene) -> Run:
    """Four frames of the demo scene as a dataset, and a copy with a damaged image, tracked with the real weights."""
    folder = tmp_path_factory.mktemp("davis")
    for index in range(4):
        frame = demo_scene.render(index)
        write_frame(folder / "davis", "480p", "toys", index, *frame)
    shutil.copytree(
        folder / "davis" / "JPEGImages" / "480p" / "toys", folder / "davis" / "JPEGImages" / "480p" / "damaged"
    )
    shutil.copytree(
        folder / "davis" / "Annotations" / "480p" / "toys", folder / "davis" / "Annotations" / "480p" / "damaged"
    )
    (folder / "davis" / "JPEGImages" / "480p" / "damaged" / "00001.jpg").write_bytes(b"damaged")
    out = folder / "out"
    options = ["--davis", folder / "davis", "--out", out, "--json", out / "all.json", "--report", out / "report.html"]
    done = subprocess.run([*PROGRAM, "run", *map(str, options)], capture_output=True, text=True, check=False)
    return Run(done, folder / "davis", out)


class TestRun:
    def test_tracked_sequences_and_errors_are_printed(self, demo: Run) -> None:
        assert demo.done.returncode == 1, demo.done.stderr
        assert "toys: 4 frames, 3 objects, " in demo.done.stdout
        assert "frames/s" in demo.done.stdout
        assert demo.done.stderr.splitlines()[-1].startswith("persam-davis: error: damaged: ")
        assert "00001.jpg" in demo.done.stderr.splitlines()[-1]
        assert "Traceback" not in demo.done.stderr

    def test_progress_bars_of_sequences_and_frames(self, demo: Run) -> None:
        assert "2/2" in demo.done.stderr
        assert "toys: " in demo.done.stderr
        assert "4/4" in demo.done.stderr

    def test_the_tables_and_files_agree_with_the_masks(self, demo: Run) -> None:
        (scores,) = evaluate(open_dataset(demo.root, sequences=["toys"]).sequences, demo.out)
        assert scores.j.min() > 0.8
        saved = json.loads((demo.out / "all.json").read_text())
        assert saved["sequences"]["toys"]["objects"]["2"]["J"]["frames"] == scores.j[1].tolist()
        assert saved["all"]["J&F-Mean"] == pytest.approx(scores.j_and_f, abs=1e-12)
        with (demo.out / "global_results-val.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert list(row) == ["J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"]
        assert row["J&F-Mean"] == f"{scores.j_and_f:.3f}"
        with (demo.out / "per-sequence_results-val.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [each["Sequence"] for each in rows] == ["toys_1", "toys_2", "toys_3"]
        assert [each["F-Mean"] for each in rows] == [f"{f.mean():.3f}" for f in scores.f]
        assert f" {scores.j_and_f:.3f} " in demo.done.stdout

    def test_the_report_names_the_model(self, demo: Run) -> None:
        report = (demo.out / "report.html").read_text()
        settings = json.loads((demo.out / "run.json").read_text())["settings"]
        assert settings["model"] == "vit_t"
        assert settings["checkpoint_sha256"] in report

    def test_a_second_run_tracks_only_what_is_missing(self, demo: Run, tmp_path: Path) -> None:
        root, out = tmp_path / "davis", tmp_path / "out"
        shutil.copytree(demo.root, root)
        shutil.copytree(demo.out, out)
        images = root / "JPEGImages" / "480p"
        shutil.copy(images / "toys" / "00001.jpg", images / "damaged")
        options = [*PROGRAM, "run", "--davis", str(root), "--out", str(out)]
        done = subprocess.run(options, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "toys: done before" in done.stdout
        assert "damaged: 4 frames" in done.stdout
        for index in range(4):
            masks = [read_palette_png(out / name / f"{index:05d}.png") for name in ("toys", "damaged")]
            assert np.array_equal(*masks)


class TestEval:
    def make(self, folder: Path, year: str = "2017") -> tuple[Path, Path]:
        """A dataset, and results that are its own annotations but for object 2 of ``two``, which is shifted."""
        root = make_dataset(folder / "davis", year=year)
        results = folder / "results"
        shutil.copytree(root / "Annotations" / "480p", results)
        for path in (results / "two").iterdir():
            mask = read_palette_png(path)
            moved = np.where(mask == 2, 0, mask)
            moved[np.roll(mask, 8, axis=1) == 2] = 2
            write_palette_png(path, moved)
        return root, results

    def test_the_table_on_the_screen(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root, results = self.make(tmp_path)
        assert main(["eval", "--davis", str(root), "--results", str(results)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"]
        assert lines[1].split() == ["one", "1.000", "1.000", "1.000", "0.000", "1.000", "1.000", "0.000"]
        assert lines[2].startswith("two (2 objects)")
        assert lines[4].split()[:3] == ["2", lines[4].split()[1], "0.600"]  # 24 of 40 columns
        assert lines[5].split()[:5] == ["all", "3", "objects", lines[5].split()[3], f"{(2 + 0.6) / 3:.3f}"]
        assert len({len(line) for line in lines[:6]}) == 1

    def test_tables_can_go_elsewhere(self, tmp_path: Path) -> None:
        root, results = self.make(tmp_path)
        before = sorted(results.rglob("*"))
        out = tmp_path / "tables" / "new"
        assert main(["eval", "--davis", str(root), "--results", str(results), "--out", str(out), "--quiet"]) == 0
        assert sorted(path.name for path in out.iterdir()) == ["global_results-val.csv", "per-sequence_results-val.csv"]
        assert sorted(results.rglob("*")) == before

    def test_quiet_prints_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root, results = self.make(tmp_path)
        assert main(["eval", "--davis", str(root), "--results", str(results), "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")

    def test_void_may_be_left_out(self, tmp_path: Path) -> None:
        root, results = self.make(tmp_path)
        path = root / "Annotations" / "480p" / "one" / "00002.png"
        label_map = read_palette_png(path)
        label_map[:24, :] = 255
        write_palette_png(path, label_map)
        means = []
        for option in ([], ["--ignore-void"]):
            file = tmp_path / "scores.json"
            options = ["--davis", str(root), "--results", str(results), "--json", str(file), "--sequences", "one"]
            assert main(["eval", *options, *option, "--quiet", "--overwrite"]) == 0
            means.append(json.loads(file.read_text())["all"]["J-Mean"])
        assert means == [pytest.approx((1 + 0.75 + 1) / 3), 1]

    @pytest.mark.parametrize(
        ("spoil", "options", "message"),
        [
            (None, ["--sequences", "three"], "holds no sequence 'three'; it holds one, two"),
            (None, ["--resolution", "1080p"], "holds no folder 1080p; it holds 480p"),
            (None, ["--year", "2018"], "2018"),
            ("two/00002.png", [], "two/00002.png: no such file"),
            ("two", [], "holds no masks of two"),
        ],
    )
    def test_invalid_input_is_one_line(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        spoil: str | None,
        options: list[str],
        message: str,
    ) -> None:
        root, results = self.make(tmp_path)
        if spoil is not None:
            path = results / spoil
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        try:
            code = main(["eval", "--davis", str(root), "--results", str(results), *options])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        assert code == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("persam-davis")
        assert message in error
        assert not list(results.glob("*.csv"))

    def test_youtube_vos_cannot_be_scored(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        make_dataset(tmp_path / "vos", resolution="")
        assert main(["eval", "--davis", str(tmp_path / "vos"), "--results", str(tmp_path)]) == 2
        assert "YouTube-VOS" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--threads", "0"], "'0' is not a number from 1 up"),
            (["--json", "."], ". cannot be written (it is a folder)"),
            (["--report", ""], "the name is empty"),
            (["--report", "results/one/00001.png", "--overwrite"], "would be among the results"),
            (["--json", "results/run.json", "--overwrite"], "would be among the results"),
            (["--json", "results/one/00001.png", "--overwrite", "--out", "tables"], "would be among the results"),
            (["--json", "results/"], "which is a folder; name another place for one"),
        ],
    )
    def test_invalid_options_are_reported_before_scoring(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
    ) -> None:
        root, results = self.make(tmp_path)
        options = [str(tmp_path / each) if each.startswith(("results/", "tables")) else each for each in options]
        before = {path: path.read_bytes() for path in results.rglob("*.png")}
        try:
            code = main(["eval", "--davis", str(root), "--results", str(results), *options])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        assert code == 2
        assert message in capsys.readouterr().err
        assert not list(results.glob("*.csv"))
        assert {path: path.read_bytes() for path in results.rglob("*.png")} == before

    def test_the_dataset_is_not_written_to(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root, _ = self.make(tmp_path)
        own = root / "Annotations" / "480p"
        assert main(["eval", "--davis", str(root), "--results", str(own)]) == 2
        assert "--out" in capsys.readouterr().err
        assert main(["eval", "--davis", str(root), "--results", str(own), "--out", str(tmp_path / "t"), "--quiet"]) == 0
        assert not list(own.glob("*.csv"))

    @pytest.mark.parametrize("text", ['{"lr": 0.1}', "{", '{"sequences": {}}'])
    def test_a_run_json_of_another_program_is_ignored(self, tmp_path: Path, text: str) -> None:
        root, results = self.make(tmp_path)
        (results / "run.json").write_text(text)
        report = tmp_path / "report.html"
        options = ["--davis", str(root), "--results", str(results), "--report", str(report), "--quiet"]
        assert main(["eval", *options]) == 0
        assert report.is_file()


class TestRunWithoutSam:
    """The command with a stand-in for SAM."""

    @pytest.fixture(autouse=True)
    def _colours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("persam_video.cli.davis.load_model", lambda options: ColourSam())

    def test_errors_of_tracking_and_scoring_are_all_printed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = make_dataset(tmp_path / "davis")
        shutil.copytree(root / "Annotations" / "480p" / "one", root / "Annotations" / "480p" / "three")
        shutil.copytree(root / "JPEGImages" / "480p" / "one", root / "JPEGImages" / "480p" / "three")
        (root / "JPEGImages" / "480p" / "one" / "00002.jpg").write_bytes(b"damaged")
        (root / "Annotations" / "480p" / "three" / "00002.png").write_bytes(b"damaged")
        json_file = tmp_path / "scores.json"
        options = ["--davis", str(root), "--out", str(tmp_path / "out"), "--json", str(json_file), "--quiet"]
        assert main(["run", *options]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(": ")[2] for line in lines] == ["one", "three"]
        assert list(json.loads(json_file.read_text())["sequences"]) == ["two"]

    def test_sequences_without_truth_are_tracked_and_not_scored(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = make_dataset(tmp_path / "davis")
        for path in sorted((root / "Annotations" / "480p" / "one").iterdir())[1:]:
            path.unlink()
        json_file = tmp_path / "scores.json"
        options = ["--davis", str(root), "--out", str(tmp_path / "out"), "--json", str(json_file)]
        assert main(["run", *options]) == 0
        assert "one is not scored: " in capsys.readouterr().out
        assert len(list((tmp_path / "out" / "one").iterdir())) == 5
        assert list(json.loads(json_file.read_text())["sequences"]) == ["two"]

    def test_a_report_of_several_settings_names_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root, out, report = make_dataset(tmp_path / "davis"), tmp_path / "out", tmp_path / "report.html"
        options = ["--davis", str(root), "--out", str(out), "--quiet"]
        assert main(["run", *options, "--sequences", "one"]) == 0
        monkeypatch.setattr("persam_video.cli.davis.load_model", lambda options: ColourSam(model="grey"))
        assert main(["run", *options, "--sequences", "two"]) == 0
        assert main(["eval", "--davis", str(root), "--results", str(out), "--report", str(report), "--quiet"]) == 0
        assert "of several models or settings" in report.read_text()

    def test_ctrl_c_while_scoring(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(*arguments: object, **options: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("persam_video.cli.davis.evaluate", interrupted)
        root = make_dataset(tmp_path / "davis")
        assert main(["run", "--davis", str(root), "--out", str(tmp_path / "out"), "--quiet"]) == 130
        assert "interrupted; 2 sequences done, the same command resumes there" in capsys.readouterr().err


class TestRunInput:
    """Errors before the model is loaded."""

    def test_0_and_255_without_the_year(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_dataset(tmp_path / "davis", year="2016")
        assert main(["run", "--davis", str(root), "--out", str(tmp_path / "out")]) == 2
        assert "give --year 2016" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_out_is_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = make_dataset(tmp_path / "davis")
        (tmp_path / "out").write_text("")
        assert main(["run", "--davis", str(root), "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert "out" in error
        assert "folder" in error

    def test_no_dataset(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", "--davis", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
        assert "none: no such folder" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

"""`tools/benchmark.py track`, and its baseline `plain_tracker.py`."""

from __future__ import annotations

import json
from pathlib import Path

import benchmark
import numpy as np
import plain_tracker
import pytest
from demo_scene import DemoScene
from make_demo_clip import write_clip
from PIL import Image

from persam_video.evaluation.davis.metrics import region_similarity

pytestmark = pytest.mark.weights


def test_the_plain_program_tracks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = DemoScene(objects=2, frames=3)
    write_clip(tmp_path, scene)
    masks = tmp_path / "masks"
    options = [str(tmp_path / "clip.mp4"), "--first-mask", str(tmp_path / "first_mask.png"), "--masks", str(masks)]
    assert plain_tracker.main([*options, "--fit-steps", "2"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"load", "fit", "frames"}
    predicted, truth = np.array(Image.open(masks / "00002.png")), scene.label_map(2)
    for i in (1, 2):
        assert region_similarity(predicted == i, truth == i) > 0.7


def test_both_programs_run_and_all_results_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    options = ["--objects", "1", "--frames", "2", "--repeat", "1", "--fit-steps", "1", "--device", "cpu", "--quiet"]
    assert benchmark.main(["track", *options, "--json", str(path)]) == 0
    results = json.loads(path.read_text(encoding="utf-8"))
    seconds = results["1 object"]["seconds"]
    assert all(len(values) == 1 and values[0] > 0 for values in seconds.values())
    assert results["1 object"]["ratio"] == pytest.approx(seconds["plain"][0] / seconds["persam-track"][0])
    assert "1 object" in capsys.readouterr().out


def test_a_program_that_fails_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--objects", "1", "--frames", "1", "--repeat", "1", "--quiet"]
    assert benchmark.main(["track", *options, "--checkpoint", str(tmp_path / "none.pt")]) == 1
    assert "failed with exit code" in capsys.readouterr().err.splitlines()[-1]

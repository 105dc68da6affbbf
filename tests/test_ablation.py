"""`tools/ablation.py`: the paper's tables on small data, with real weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ablation
import numpy as np
import pytest
from demo_scene import DemoScene
from PIL import Image

from persam_video.files.palette_png import write_palette_png

pytestmark = pytest.mark.weights

OPTIONS = ["--device", "cpu", "--size", "512", "--quiet"]


@pytest.fixture(scope="module")
def perseg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of one toy."""
    root = tmp_path_factory.mktemp("perseg")
    scene = DemoScene(objects=1, frames=8)
    for kind in ("Images", "Annotations"):
        (root / kind / "toy").mkdir(parents=True)
    for number, index in enumerate((0, 6)):
        image, label_map = scene.render(index)
        Image.fromarray(image).save(root / "Images" / "toy" / f"{number:02d}.png")
        Image.fromarray((label_map == 1).astype(np.uint8) * 255).save(
            root / "Annotations" / "toy" / f"{number:02d}.png"
        )
    return root


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sequence of four frames with one toy."""
    root = tmp_path_factory.mktemp("davis")
    scene = DemoScene(objects=1, frames=8)
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / "480p" / "toy").mkdir(parents=True)
    for index in range(4):
        image, label_map = scene.render(index)
        Image.fromarray(image).save(root / "JPEGImages" / "480p" / "toy" / f"{index:05d}.jpg", quality=95)
        write_palette_png(root / "Annotations" / "480p" / "toy" / f"{index:05d}.png", label_map)
    return root


def results_of(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    path = tmp_path / "results.json"
    assert ablation.main([*arguments, *OPTIONS, "--json", str(path)]) == 0
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def test_table_4_has_a_row_per_component(perseg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = results_of(tmp_path, "components", "--perseg", str(perseg))
    assert list(results) == list(ablation.LADDER)
    assert len(results) == 6
    assert max(results.values()) > 0.8
    assert "+ scale tuning" in capsys.readouterr().out


def test_table_5_counts_learned_parameters(perseg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = results_of(tmp_path, "tuning", "--perseg", str(perseg), "--steps", "3")
    learned = {name: each["learned"] for name, each in results.items()}
    assert learned["persam"] == 0
    assert learned["prompt tokens"] == 48 * 256
    assert learned["adapter"] == 2 * (2 * 256 * 128 + 128 + 256)
    assert learned["LoRA"] == 24 * (2 * 4 * 512 + 5 * 4 * 384)  # 2 within tokens, 5 between tokens and image
    assert (learned["3 mask weights"], learned["persam-f"]) == (3, 2)
    assert results["persam"]["score"] > 0.5
    assert "LoRA" in capsys.readouterr().out


def test_table_5_on_videos(davis: Path, tmp_path: Path) -> None:
    results = results_of(tmp_path, "tuning", "--davis", str(davis), "--sequences", "toy", "--steps", "2")
    assert results["persam-f"]["score"] > 0.7
    assert len(results) == 6


def test_table_6_on_videos(davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = results_of(tmp_path, "reference", "--davis", str(davis), "--sequences", "toy")
    for row in results.values():
        assert row["mask"] > 0.7
        assert row["box"] > 0.7
    assert "box" in capsys.readouterr().out


def test_exactly_one_kind_of_data_is_needed(perseg: Path, davis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablation.main(["components", *OPTIONS]) == 2
    assert "give the data: either --perseg ROOT or --davis ROOT" in capsys.readouterr().err
    both = ["--perseg", str(perseg), "--davis", str(davis)]
    assert ablation.main(["components", *both, *OPTIONS]) == 2

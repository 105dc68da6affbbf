"""A fake SAM that segments by colour, for tests of everything around it: fast, and exact on images of flat colours.

Its features are the mean colours of the cells; its masks are the cells with the colour of the object's first point.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.runtime.ambient import isolated
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import DecoderOutput
from persam_video.sam.prompt_encoder import Prompts
from persam_video.sam.window import Window


class ColourSam:
    """Fake of `persam_video.Sam`, as far as trackers use it, that counts its calls.

    Args:
        batch: number of frames of a video to encode at once.
        model: name of the model.
        window: of the model's options.
    """

    device, dtype, capture = torch.device("cpu"), torch.float32, None
    checkpoint: Path | None = None
    weights_sha256: str | None = None

    def __init__(self, batch: int = 1, model: str = "colours", window: str = "frame") -> None:
        self.options = SimpleNamespace(
            model=model,
            size=INPUT_SIZE,
            exact_padding=False,
            encodes_windows=lambda *_: window == "objects",
        )
        self.encode = ColourEncode(self)
        self.batch = batch
        self.encoded = 0  # number of encoded images
        self.encode_batches: list[int] = []  # number of images of each call of `encode.batch`
        self.decode_batches: list[int] = []  # number of objects of each decode
        self.had_box: list[list[bool]] = []  # whether each object had a box, of each decode

    @isolated()  # as the real one is
    def encode_one(self, image: np.ndarray, window: Window | None = None) -> Features:
        self.encoded += 1
        window = window or Window.whole(image.shape)
        image = window.crop(image)
        rows, columns = window.geometry.grid(FEATURE_SIZE)
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 - 0.5
        cells = F.interpolate(pixels, size=(rows, columns), mode="area")
        tensor = torch.zeros(1, 256, rows, columns, dtype=torch.float32)
        tensor[:, :3] = cells
        return Features(tensor, window, torch.from_numpy(image.copy()))

    def decode(self, features: Features, prompts: Prompts) -> DecoderOutput:
        self.decode_batches.append(len(prompts.points))
        self.had_box.append([] if prompts.has_box is None else prompts.has_box.tolist())
        unit = F.normalize(features.tensor[0], dim=0)
        rows, columns = unit.shape[1:]
        cells = (prompts.points[:, 0] / INPUT_SIZE * FEATURE_SIZE).long()
        colours = unit[:, cells[:, 1].clamp(0, rows - 1), cells[:, 0].clamp(0, columns - 1)]  # [256, N]
        is_same: Tensor = torch.einsum("cn,chw->nhw", colours, unit) > 0.95
        logits = F.interpolate(is_same[:, None].float() * 20 - 10, scale_factor=4, mode="nearest")
        ious = torch.full((len(logits), 3), 0.9, dtype=torch.float32)
        return DecoderOutput(logits.expand(-1, 3, -1, -1).clone(), ious, logits[:, 0], ious[:, 0])


class ColourEncode:
    """Fake of `persam_video.sam.image_encoder.ImageEncoder`."""

    def __init__(self, sam: ColourSam) -> None:
        self._sam = sam

    def __call__(self, image: np.ndarray, window: Window | None = None) -> Features:
        return self._sam.encode_one(image, window)

    def batch(self, images: list[np.ndarray], window: Window | None = None) -> list[Features]:
        self._sam.encode_batches.append(len(images))
        return [self(image, window) for image in images]


RED, GREEN, BLUE, YELLOW = (230, 20, 20), (20, 230, 20), (20, 20, 230), (230, 230, 20)
BACKGROUND = (20, 60, 90)


@dataclass(frozen=True)
class Square:
    """A square of one colour that moves to the right by ``step`` pixels a frame, and is not drawn in some frames."""

    object_id: int
    colour: tuple[int, int, int]
    left: int
    top: int
    absent: range = range(0)
    side: int = 32
    step: int = 2


def draw(squares: list[Square], index: int, height: int = 144, width: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Image, uint8 H×W×3, and label map, uint8 H×W, of one frame."""
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    label_map = np.zeros((height, width), np.uint8)
    for square in squares:
        if index not in square.absent:
            left = square.left + square.step * index
            pixels = np.s_[square.top : square.top + square.side, left : left + square.side]
            image[pixels] = square.colour
            label_map[pixels] = square.object_id
    return image, label_map

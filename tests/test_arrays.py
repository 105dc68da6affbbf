"""Images and arrays of the kinds that Python code has them in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from persam_video.arrays import as_array, to_image
from persam_video.errors import InputError, VideoError

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
GREY = RGB[..., 0]


def turned(image: Image.Image, orientation: int, path: Path) -> Image.Image:
    """The image with an EXIF orientation, from its file."""
    exif = image.getexif()
    exif[274] = orientation
    image.save(path, exif=exif)
    return Image.open(path)


class TestToImage:
    @pytest.mark.parametrize(
        "value",
        [
            RGB,
            RGB[None],
            RGB[..., ::-1][..., ::-1],
            RGB.tolist(),
            RGB.astype(np.int64),
            np.dstack([RGB, GREY]),
            np.ascontiguousarray(RGB.transpose(2, 0, 1)),
            torch.from_numpy(RGB),
            torch.from_numpy(RGB).permute(2, 0, 1),
            torch.from_numpy(RGB).permute(2, 0, 1)[None],
            Image.fromarray(RGB),
            Image.fromarray(np.dstack([RGB, GREY]), "RGBA"),
        ],
    )
    def test_colour(self, value: Any) -> None:
        image = to_image(value, name="frame 3", error_type=VideoError)
        assert image.dtype == np.uint8 and image.flags.c_contiguous and np.array_equal(image, RGB)

    @pytest.mark.parametrize(
        "value", [GREY, GREY[..., None], GREY[None], torch.from_numpy(GREY)[None], Image.fromarray(GREY)]
    )
    def test_grey(self, value: Any) -> None:
        image = to_image(value, name="frame 3", error_type=VideoError)
        assert np.array_equal(image, np.repeat(GREY[..., None], 3, axis=2))

    def test_an_image_is_not_copied(self) -> None:
        assert np.shares_memory(to_image(RGB, name="it", error_type=VideoError), RGB)

    def test_a_small_image_of_three_rows(self) -> None:
        image = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3)
        assert np.array_equal(to_image(image, name="it", error_type=VideoError), image)

    def test_pillow_is_turned_upright(self, tmp_path: Path) -> None:
        image = turned(Image.fromarray(RGB), 6, tmp_path / "a.png")
        assert np.array_equal(to_image(image, name="it", error_type=VideoError), np.rot90(RGB, -1))

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (None, "frame 3 is None: the video has ended or could not be read"),
            ("a.png", "frame 3 is of the type str; an image must be RGB, uint8, height×width×3"),
            (iter([RGB]), "frame 3 is of the type list_iterator"),
            ([RGB[:3], RGB], "frame 3 is of the type list"),
            ({}, "frame 3 is of the type dict"),
            (RGB / 255, "frame 3 is of the type float64; .*multiply it by 255 if it is from 0 to 1"),
            (torch.rand(3, 5, 7, dtype=torch.bfloat16), "frame 3 is of the type float32"),
            (RGB > 9, "frame 3 is of the type bool; .*a mask is no image"),
            (RGB.astype(np.uint16), "frame 3 is of the type uint16; .*scale it to 0 … 255"),
            (RGB.astype(np.int32) - 1000, "frame 3 is of the type int32"),
            (np.stack([RGB, RGB]), r"frame 3 has the shape \(2, 5, 7, 3\)"),
            (np.zeros((0, 3, 3), np.uint8), r"frame 3 has the shape \(0, 3, 3\)"),
            (np.zeros((5, 7, 2), np.uint8), r"frame 3 has the shape \(5, 7, 2\)"),
            (np.uint8(4), r"frame 3 has the shape \(\)"),
            (Image.new("I;16", (4, 4)), "frame 3 is a Pillow image of mode I;16"),
        ],
    )
    def test_others_are_refused(self, value: Any, words: str) -> None:
        with pytest.raises(VideoError, match=words):
            to_image(value, name="frame 3", error_type=VideoError)

    def test_a_truncated_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        Image.fromarray(np.tile(RGB, (40, 40, 1))).save(path)
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(VideoError, match="it is a Pillow image that cannot be decoded"):
            to_image(Image.open(path), name="it", error_type=VideoError)
        with pytest.raises(InputError, match="a Pillow image cannot be decoded"):
            as_array(Image.open(path))


class TestAsArray:
    def test_kinds(self) -> None:
        indexed = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3), "P")
        indexed.putpalette(list(range(18)))
        for value in (
            indexed,
            torch.arange(6).reshape(2, 3),
            [[0, 1, 2], [3, 4, 5]],
            [np.arange(3), torch.arange(3, 6)],
        ):
            array = as_array(value)
            assert array is not None and np.array_equal(array, np.arange(6).reshape(2, 3))

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "a",
            b"a",
            Path("a"),
            {},
            {1},
            5,
            [],
            torch.zeros(2, 2).to_sparse(),
            torch.zeros(2, device="meta"),
            ["a"],
            [[1], [1, 2]],
            [np.zeros(2), np.zeros(3)],
            [None],
            [{}],
        ],
    )
    def test_none_of_them(self, value: Any) -> None:
        assert as_array(value) is None

    def test_a_tensor_with_a_gradient(self) -> None:
        array = as_array([torch.ones(2, requires_grad=True), torch.zeros(2)])
        assert array is not None and array.tolist() == [[1, 1], [0, 0]]


def test_torch_is_not_imported() -> None:
    code = "import sys; from persam_video.arrays import as_array; as_array([[1]]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

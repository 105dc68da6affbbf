from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persam_video.errors import InputError
from persam_video.files.palette_png import DAVIS_PALETTE, VOC_PALETTE, is_mask_png, read_palette_png, write_palette_png

SHARED = Path(__file__).parents[1].parent / "shared"
DAVIS_MASK = SHARED / "davis" / "Annotations" / "480p" / "bmx-trees" / "00000.png"
needs_davis = pytest.mark.skipif(not DAVIS_MASK.exists(), reason="needs DAVIS sequences in ../shared/davis")


def all_ids() -> np.ndarray:
    return np.arange(256, dtype=np.uint8).reshape(8, 32)


def test_palettes_known_colours() -> None:
    assert VOC_PALETTE.shape == DAVIS_PALETTE.shape == (256, 3)
    assert VOC_PALETTE.dtype == DAVIS_PALETTE.dtype == np.uint8
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 7: (128, 128, 128), 8: (64, 0, 0)}
    for object_id, colour in known.items():
        assert tuple(VOC_PALETTE[object_id]) == tuple(DAVIS_PALETTE[object_id]) == colour
    assert tuple(VOC_PALETTE[15]) == (192, 128, 128)
    assert tuple(VOC_PALETTE[255]) == (224, 224, 192)
    assert tuple(DAVIS_PALETTE[15]) == (191, 128, 128)
    assert tuple(DAVIS_PALETTE[22]) == (22, 22, 22)
    assert tuple(DAVIS_PALETTE[192]) == (192, 192, 192)
    assert len(np.unique(VOC_PALETTE, axis=0)) == 256


def test_palettes_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        DAVIS_PALETTE[1] = 0


@needs_davis
def test_the_palette_is_that_of_davis_files() -> None:
    with Image.open(DAVIS_MASK) as image:
        assert bytes(image.getpalette() or []) == DAVIS_PALETTE.tobytes()
    assert is_mask_png(DAVIS_MASK)


@needs_davis
def test_davis_mask_round_trip(tmp_path: Path) -> None:
    label_map = read_palette_png(DAVIS_MASK)
    assert label_map.shape == (480, 854)
    assert np.unique(label_map).tolist() == [0, 1, 2]
    write_palette_png(tmp_path / "a.png", label_map)
    assert np.array_equal(read_palette_png(tmp_path / "a.png"), label_map)


@pytest.mark.parametrize("label_map", [all_ids(), np.zeros((5, 7), np.uint8), np.full((1, 1), 254, np.uint8)])
def test_round_trip_is_exact(tmp_path: Path, label_map: np.ndarray) -> None:
    path = tmp_path / "mask.png"
    write_palette_png(path, label_map)
    again = read_palette_png(path)
    assert again.dtype == np.uint8
    assert np.array_equal(again, label_map)
    with Image.open(path) as image:
        assert image.mode == "P"
        assert bytes(image.getpalette() or []) == DAVIS_PALETTE.tobytes()


def test_writes_non_contiguous_maps_and_open_files() -> None:
    label_map = np.asfortranarray(all_ids())[:, ::2]
    file = io.BytesIO()
    write_palette_png(file, label_map)
    file.seek(0)
    with Image.open(file) as image:
        assert np.array_equal(np.array(image), label_map)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.int64), np.zeros((0, 4), np.uint8)]
)
def test_write_refuses_other_arrays(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8, H×W"):
        write_palette_png(tmp_path / "a.png", wrong)
    assert not (tmp_path / "a.png").exists()


def test_reads_grey(tmp_path: Path) -> None:
    Image.fromarray(all_ids()).save(tmp_path / "grey.png")
    assert np.array_equal(read_palette_png(tmp_path / "grey.png"), all_ids())


def test_read_errors_are_one_line_with_the_path(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    (tmp_path / "text.png").write_text("not an image")
    write_palette_png(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 9, (90, 90), dtype=np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-500])
    for name, words in (
        ("rgb.png", "its mode is RGB"),
        ("text.png", "unknown format"),
        ("cut.png", "truncated"),
        ("none.png", "no such file"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            read_palette_png(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_is_mask_png(tmp_path: Path) -> None:
    write_palette_png(tmp_path / "davis.png", all_ids())
    assert is_mask_png(tmp_path / "davis.png")
    indexed = Image.fromarray(all_ids())
    indexed.putpalette(VOC_PALETTE.tobytes())
    indexed.save(tmp_path / "voc.png")
    assert is_mask_png(tmp_path / "voc.png")
    indexed.putpalette(DAVIS_PALETTE[::-1].tobytes())
    indexed.save(tmp_path / "other.png")
    Image.fromarray(all_ids()).save(tmp_path / "grey.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    (tmp_path / "text.png").write_text("not an image")
    for name in ("other.png", "grey.png", "rgb.png", "text.png", "none.png"):
        assert not is_mask_png(tmp_path / name), name
    gif = Image.fromarray(all_ids())
    gif.putpalette(DAVIS_PALETTE.tobytes())
    gif.save(tmp_path / "gif.png", format="GIF")
    assert not is_mask_png(tmp_path / "gif.png")

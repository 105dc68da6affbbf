"""Masks of the first frame: files and arrays that are accepted, with warnings, and those that are refused."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from persam_video.errors import AnnotationError
from persam_video.files.palette_png import DAVIS_PALETTE, VOC_PALETTE, write_palette_png
from persam_video.inputs.first_mask import check_label_map, load_first_masks, load_masks

WIDTH, HEIGHT = 64, 48
Array = npt.NDArray[np.uint8]
ExpectWarning = Callable[[str], str]

SHARED = Path(__file__).parents[1].parent / "shared"
DAVIS_SETS = [SHARED / name / "Annotations" / "480p" for name in ("davis", "davis_small")]
needs_davis = pytest.mark.skipif(not all(d.exists() for d in DAVIS_SETS), reason="needs DAVIS sequences in ../shared")


@pytest.fixture(autouse=True)
def expect_warning(caplog: pytest.LogCaptureFixture) -> Iterator[ExpectWarning]:
    """Check of the one warning logged since the last check; a warning that is not checked fails the test."""

    def expect(pattern: str) -> str:
        (message,) = caplog.messages
        assert re.search(pattern, message), message
        caplog.clear()
        return message

    yield expect
    assert not caplog.get_records("call")


def blocks(values: Sequence[int], dtype: type = np.uint8) -> npt.NDArray[np.integer]:
    """A map of WIDTH×HEIGHT with a 6×6 block of every value (up to 40), on 0."""
    label_map = np.zeros((HEIGHT, WIDTH), dtype=dtype)
    for i, value in enumerate(values):
        row, column = divmod(i, 8)
        label_map[1 + 8 * row : 7 + 8 * row, 1 + 8 * column : 7 + 8 * column] = value
    return label_map


def load(*sources: Path, width: int = WIDTH, height: int = HEIGHT) -> Array:
    label_map = load_first_masks(sources, width=width, height=height)
    assert label_map.dtype == np.uint8
    assert label_map.shape == (height, width)
    return label_map


def refused(*sources: Path, width: int = WIDTH, height: int = HEIGHT) -> str:
    with pytest.raises(AnnotationError) as caught:
        load_first_masks(sources, width=width, height=height)
    message = str(caught.value)
    assert "\n" not in message
    return message


def save(path: Path, values: npt.NDArray[np.integer] | Image.Image) -> Path:
    (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(path)
    return path


def save_colours(path: Path, label_map: npt.NDArray[np.integer], colours: dict[int, tuple[int, ...]]) -> Path:
    image = np.zeros((*label_map.shape, len(next(iter(colours.values())))), np.uint8)
    for value, colour in colours.items():
        image[label_map == value] = colour
    return save(path, image)


def save_png(path: Path, samples: npt.NDArray[np.integer], *, depth: int, colour_type: int) -> Path:
    """A PNG of 1, 2 or 4 bits a sample; colour type 0 is grey, 3 indexed (with a palette of 16 random colours)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bits = (samples[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.reshape(samples.shape[0], -1).astype(np.uint8), axis=1)
    colours = np.random.default_rng(0).integers(0, 256, (16, 3), dtype=np.uint8)
    colours[0] = 0
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour_type, 0, 0, 0)
    palette = chunk(b"PLTE", colours[: 1 << depth].tobytes()) if colour_type == 3 else b""
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


def drawing(kind: str, scale: int = 1, fill: int = 255) -> Image.Image:
    """A grey image of 320×180 (times scale) with something drawn on it."""
    image = Image.new("L", (320 * scale, 180 * scale))
    draw = ImageDraw.Draw(image)
    if kind == "ellipse":
        draw.ellipse([50 * scale, 40 * scale, 150 * scale, 120 * scale], fill=fill)
    elif kind == "dot":
        draw.ellipse([50.3 * scale, 40.2 * scale, 61.7 * scale, 51.2 * scale], fill=fill)
    elif kind == "rectangle":
        draw.rectangle([50.5 * scale, 40.5 * scale, 150.5 * scale, 120.5 * scale], fill=fill)
    elif kind == "polygon":
        corners = [(50, 25), (200, 49), (175, 150), (110, 90), (45, 155)]
        draw.polygon([(x * scale, y * scale) for x, y in corners], fill=fill)
    elif kind == "line":
        draw.line([(15 * scale, 20 * scale), (250 * scale, 150 * scale)], fill=fill, width=2 * scale)
    return image


def jpeg(image: Image.Image, path: Path, quality: int) -> Image.Image:
    """A grey image after JPEG compression."""
    image.save(path, "JPEG", quality=quality)
    with Image.open(path) as again:
        return again.convert("L")


# ---- one file ----


def test_palette_png_keeps_its_values(tmp_path: Path) -> None:
    label_map = blocks([1, 2, 7, 38, 254, 255])
    write_palette_png(tmp_path / "a.png", label_map)
    assert np.array_equal(load(tmp_path / "a.png"), label_map)


@pytest.mark.parametrize("ids", [[1], [3], [38, 75, 113], [1, 2, 3, 255], [254], list(range(1, 41))])
def test_grey_png_keeps_its_values(tmp_path: Path, ids: list[int]) -> None:
    label_map = blocks(ids)
    assert np.array_equal(load(save(tmp_path / "a.png", label_map)), label_map)


def test_a_path_or_a_string_alone_will_do(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", blocks([1]))
    for source in (path, str(path), [str(path)]):
        assert load_first_masks(source, width=WIDTH, height=HEIGHT).max() == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["grey", "palette", "one bit", "rgb", "rgba", "16 bit"])
def test_black_and_white_is_one_object(tmp_path: Path, mode: str) -> None:
    white = blocks([255])
    path = tmp_path / "a.png"
    if mode == "palette":
        write_palette_png(path, white)
    elif mode == "one bit":
        save(path, Image.fromarray(white).convert("1"))
    elif mode == "rgb":
        save(path, Image.fromarray(white).convert("RGB"))
    elif mode == "rgba":
        save(path, Image.fromarray(white).convert("RGBA"))
    elif mode == "16 bit":
        save(path, white.astype(np.uint16) * 257)
    else:
        save(path, white)
    assert np.array_equal(load(path), blocks([1]))


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("colour_type", [0, 3])
def test_few_bits_a_sample_are_ids_as_stored(tmp_path: Path, depth: int, colour_type: int) -> None:
    label_map = blocks(range(1, min(1 << depth, 11)))
    path = save_png(tmp_path / "a.png", label_map, depth=depth, colour_type=colour_type)
    assert np.array_equal(load(path), label_map)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_black_and_white_is_one_object(tmp_path: Path, depth: int) -> None:
    path = save_png(tmp_path / "a.png", blocks([(1 << depth) - 1]), depth=depth, colour_type=0)
    assert np.array_equal(load(path), blocks([1]))


def test_16_bit_with_small_values(tmp_path: Path) -> None:
    label_map = blocks([1, 2, 200, 255], np.uint16)
    assert np.array_equal(load(save(tmp_path / "a.png", label_map)), label_map)


@pytest.mark.parametrize("suffix", ["bmp", "tif", "pgm"])
def test_other_formats(tmp_path: Path, suffix: str) -> None:
    label_map = blocks([1, 2, 5])
    assert np.array_equal(load(save(tmp_path / f"a.{suffix}", label_map)), label_map)


def test_inverted_palette_is_read_by_value_with_a_warning(tmp_path: Path, expect_warning: ExpectWarning) -> None:
    image = Image.fromarray(blocks([1]))
    image.putpalette([255, 255, 255, 0, 0, 0])
    assert np.array_equal(load(save(tmp_path / "a.png", image)), blocks([1]))
    expect_warning(r"value 0, which is the background, is not black .* but 1 is")


# ---- files that cannot be used ----


def test_no_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.png").startswith(f"{tmp_path / 'no.png'}: no such file")
    assert "no mask was given" in refused()


def test_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    assert refused(tmp_path / "a.png").startswith(f"{tmp_path / 'a.png'}: cannot be read as an image (unknown format)")


def test_damaged_image(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 9, (HEIGHT, WIDTH), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-400])
    assert refused(path).startswith(f"{path}: cannot be read as an image")


@pytest.mark.parametrize(("value", "text"), [(0, "0, the background"), (255, "255, which is ignored")])
def test_no_object(tmp_path: Path, value: int, text: str) -> None:
    path = save(tmp_path / "a.png", np.full((HEIGHT, WIDTH), value, np.uint8))
    assert refused(path) == f"{path} holds no object: all its pixels are {text}"


def test_values_that_are_not_ids(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", blocks([1, 300], np.uint16))
    assert f"{path} has the pixel value 300" in refused(path)


@pytest.mark.parametrize("mode", ["F", "CMYK"])
def test_strange_modes(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(blocks([1])).convert(mode))
    assert f"mode {mode}; save it as an indexed" in refused(path)


# ---- folders ----


def test_first_file_of_a_folder_in_natural_order(tmp_path: Path) -> None:
    for name, value in (("10.png", 10), ("9.png", 9), ("100.PNG", 100)):
        save(tmp_path / name, blocks([value]))
    (tmp_path / "1.txt").write_text("notes")
    (tmp_path / "._1.png").write_bytes(b"what some systems leave")
    assert load(tmp_path).max() == 9


def test_folder_without_masks(tmp_path: Path) -> None:
    (tmp_path / "480p").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "00000.jpg")
    assert refused(tmp_path).startswith(f"{tmp_path} holds no mask")


def discs(places: Sequence[int], value: int = 255) -> list[Array]:
    """Masks of one disc each, at these columns."""
    return [cv2.circle(np.zeros((HEIGHT, WIDTH), np.uint8), (x, 24), 7, value, -1) for x in places]


class TestFolderOfMasks:
    def save_all(self, folder: Path, names: Sequence[str], masks: Sequence[Array]) -> Path:
        folder.mkdir(exist_ok=True)
        for name, mask in zip(names, masks, strict=True):
            save(folder / name, mask)
        return folder

    @pytest.mark.parametrize(
        "names",
        [
            ("bike.png", "dog.png", "rider.png"),
            ("1.png", "2.png", "10.png"),
            ("mask_0.png", "mask_1.png", "mask_2.tif"),
        ],
    )
    def test_one_file_an_object(self, tmp_path: Path, names: tuple[str, ...], expect_warning: ExpectWarning) -> None:
        masks = discs([10, 40, 25])
        folder = self.save_all(tmp_path / "masks", names, masks)
        (folder / "metadata.csv").write_text("id,area\n")
        found = load_first_masks(folder, width=WIDTH, height=HEIGHT, frame_count=80)
        named = ", ".join(f"{i} = {name}" for i, name in enumerate(names, start=1))
        expect_warning(f"its files were taken for masks of one object each: {re.escape(named)}")
        assert np.array_equal(found, sum(i * (mask > 0) for i, mask in enumerate(masks, start=1)))

    @pytest.mark.parametrize(
        ("names", "masks", "frame_count"),
        [
            (("00000.png", "00001.png"), discs([10, 12]), 80),
            (("frame_000000.png", "frame_000005.png"), discs([10, 25]), 2),  # a fast object, in every frame
            (("0.png", "1.png", "2.png"), discs([10, 12, 14]), None),
            (("00000.png", "00001.png"), [blocks([1, 2]), blocks([])], None),
            (("7.png", "8.png"), [blocks([2]), blocks([1, 2])], None),
        ],
    )
    def test_one_file_a_frame(
        self, tmp_path: Path, names: tuple[str, ...], masks: list[Array], frame_count: int | None
    ) -> None:
        folder = self.save_all(tmp_path / "masks", names, masks)
        found = load_first_masks(folder, width=WIDTH, height=HEIGHT, frame_count=frame_count)
        assert np.array_equal(found > 0, masks[0] > 0)

    def test_a_folder_has_the_mask_of_a_frame_by_its_name_or_number(self, tmp_path: Path) -> None:
        masks = discs([10, 12, 14])
        folder = self.save_all(tmp_path / "masks", ("00004.png", "00005.png", "00006.png"), masks)

        def found(**frame: Any) -> Array:
            return load_first_masks(folder, width=WIDTH, height=HEIGHT, **frame)

        assert np.array_equal(found(index=5) > 0, masks[1] > 0)
        assert np.array_equal(found(index=5, frame_name="00006") > 0, masks[2] > 0)
        assert np.array_equal(found(index=0) > 0, masks[0] > 0)
        with pytest.raises(AnnotationError, match="holds no mask of frame 7; give the file of its mask"):
            found(index=7)

    @pytest.mark.parametrize(
        ("names", "masks", "text"),
        [
            (("00000.png", "00001.png"), discs([10, 40]), "may be of one frame each or of one object each"),
            (("1.png", "2.png"), discs([10, 19]), "may be of one frame each or of one object each"),
            (("a.png", "b.png"), discs([10, 11]), "may be of one frame each or of one object each"),
            (
                ("a.png", "b.png"),
                [blocks([1]), blocks([0, 1, 2])],
                "masks without frame numbers, and b.png is not of one",
            ),
            (
                ("00000.png", "other.png"),
                [blocks([1, 2]), blocks([3])],
                "without frame numbers, and 00000.png is not of",
            ),
            (("a.png", "b.png"), [blocks([1]), blocks([])], "b.png holds no object"),
        ],
    )
    def test_what_is_refused(
        self, tmp_path: Path, names: tuple[str, ...], masks: list[Array], text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert text in refused(self.save_all(tmp_path / "masks", names, masks))
        caplog.clear()

    def test_what_is_not_read_is_named(self, tmp_path: Path, expect_warning: ExpectWarning) -> None:
        folder = self.save_all(tmp_path / "masks", ["00000.png"], discs([10]))
        (folder / "more").mkdir()
        (folder / "00001.jpg").write_bytes(b"")
        assert load(folder).max() == 1
        expect_warning("not read, as they are no mask files: 00001.jpg, more")

    def test_links_and_pipes(self, tmp_path: Path) -> None:
        folder = self.save_all(tmp_path / "masks", ["a.png"], discs([10]))
        (folder / "b.png").symlink_to("nowhere.png")
        assert "b.png: no such file" in refused(folder)
        (folder / "b.png").unlink()
        os.mkfifo(folder / "b.png")
        assert "b.png: cannot be read as an image (it is not a regular file)" in refused(folder)
        assert "cannot be read as an image (it is not a regular file)" in refused(folder / "b.png")

    def test_an_empty_name(self) -> None:
        with pytest.raises(AnnotationError, match="the name of a mask is empty"):
            load_first_masks("", width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize(("sources", "kind"), [(None, "NoneType"), (5, "int"), (b"a.png", "bytes"), ([5], "int")])
def test_what_is_no_name(sources: Any, kind: str) -> None:
    with pytest.raises(AnnotationError, match=f"a mask is of the type {kind}; give names of image files"):
        load_first_masks(sources, width=WIDTH, height=HEIGHT)


def test_limit_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expect_warning: ExpectWarning) -> None:
    """A mask may have the limit's pixels, or as many as the video, as it is stored or shown."""
    monkeypatch.setattr("persam_video.inputs.mask_size.MAX_PIXELS", 100)
    folder = tmp_path / "masks"
    folder.mkdir()
    first = save(folder / "a.png", blocks([1]))
    assert load(first).max() == 1
    save(folder / "b.png", blocks([0, 1]))
    assert load(folder).max() == 2
    expect_warning("its files were taken for masks of one object each: 1 = a.png, 2 = b.png")
    larger = save(tmp_path / "larger.png", blocks([1]).repeat(2, axis=1))
    assert load_first_masks(larger, width=WIDTH, height=HEIGHT, pixel_aspect=2).max() == 1
    expect_warning("it was resized to 64×48")
    assert "is 128×48 pixels, more than the limit of 3,072" in refused(larger)
    save(folder / "a.png", blocks([1]).repeat(2, axis=1))
    assert "a.png: is 128×48 pixels, more than the limit of 3,072" in refused(folder)


@needs_davis
def test_davis_folders() -> None:
    for folder in [folder for root in DAVIS_SETS for folder in root.iterdir()]:
        with Image.open(folder / "00000.png") as image:
            expected = np.array(image)
        found = load_first_masks([folder], width=expected.shape[1], height=expected.shape[0])
        assert np.array_equal(found, expected)


# ---- several files of one object each ----


def test_several_files_get_ids_in_order(tmp_path: Path) -> None:
    paths = []
    for i, value in enumerate((255, 1, 38)):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[:, 10 * i : 10 * i + 8] = value
        paths.append(save(tmp_path / f"{i}.png", mask))
    paths.append(save(tmp_path / "3.png", Image.fromarray(np.roll(mask, 10, axis=1) > 0)))
    colours = np.roll(mask, 20, axis=1)
    paths.append(save_colours(tmp_path / "4.png", colours, {0: (0, 0, 0), 38: (128, 0, 128)}))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    for i in range(5):
        expected[:, 10 * i : 10 * i + 8] = i + 1
    assert np.array_equal(load(*paths), expected)


def test_overlap_goes_to_the_later_one(tmp_path: Path, expect_warning: ExpectWarning) -> None:
    a, b = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    a[:, :20], b[:10, 15:30] = 255, 255
    first, second = save(tmp_path / "a.png", a), save(tmp_path / "b.png", b)
    label_map = load(first, second)
    message = expect_warning("overlap in 50 pixels")
    assert str(first) in message
    assert str(second) in message
    assert np.array_equal(label_map, np.where(b > 0, 2, np.where(a > 0, 1, 0)))


def test_object_covered_entirely(tmp_path: Path, expect_warning: ExpectWarning) -> None:
    path = save(tmp_path / "a.png", blocks([255]))
    assert "has no pixel left" in refused(path, path)
    expect_warning("overlap in 36 pixels")


def test_one_of_several_is_not_of_one_object(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", blocks([255]))
    bad = tmp_path / "bad.png"
    for values, text in (
        (blocks([]), "holds no object"),
        (blocks([1, 2]), "has the pixel values 0, 1, 2"),
        (blocks(range(1, 21)), "has the pixel values 0, 1, 2, 3, 4, 5, ..."),
        (np.full((HEIGHT, WIDTH), 255, np.uint8), "has the pixel values 255"),
        (blocks([1]) + np.uint8(1), "has the pixel values 1, 2"),
    ):
        message = refused(good, save(bad, values))
        assert message.startswith(f"{bad} ")
        assert text in message
    assert "is a folder" in refused(good, tmp_path)


def test_soft_edges_in_one_of_several(tmp_path: Path) -> None:
    good = save(tmp_path / "good.png", drawing("dot"))
    soft = save(tmp_path / "soft.png", drawing("ellipse", 4).resize((320, 180), Image.Resampling.BOX))
    message = refused(good, soft, width=320, height=180)
    assert message.startswith(f"{soft} has soft edges")


def test_too_many_files(tmp_path: Path) -> None:
    assert "255 masks" in refused(*[tmp_path / "a.png"] * 255)


# ---- colour images ----


@pytest.mark.parametrize("palette", [DAVIS_PALETTE, VOC_PALETTE])
@pytest.mark.parametrize("opaque", [(), (255,)])
def test_rgb_in_palette_colours(tmp_path: Path, palette: Array, opaque: tuple[int, ...]) -> None:
    ids = [1, 2, 7, 15, 21, 40, 200] if palette is VOC_PALETTE else [1, 2, 7, 15, 21, 255]
    colours = {i: (*map(int, palette[i]), *opaque) for i in [0, *ids]}
    assert np.array_equal(load(save_colours(tmp_path / "a.png", blocks(ids), colours)), blocks(ids))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_saved_as_colour(tmp_path: Path, mode: str) -> None:
    label_map = blocks([1, 2, 38, 75, 255])
    assert np.array_equal(load(save(tmp_path / "a.png", Image.fromarray(label_map).convert(mode))), label_map)


def test_flat_colours_get_ids_by_colour(tmp_path: Path, expect_warning: ExpectWarning) -> None:
    colours = {0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 200, 30), 3: (255, 255, 255), 4: (0, 0, 255)}
    path = save_colours(tmp_path / "a.png", blocks([1, 2, 3, 4]), colours)
    assert np.array_equal(load(path), blocks([3, 2, 4, 1]))
    message = expect_warning(r"#0000ff = 1, #00c81e = 2, #ff0000 = 3, #ffffff = 4")
    assert "\n" not in message


def test_colours_that_are_not_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    flat = {0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 255, 0)}
    label_map = blocks([1, 2])

    save_colours(path, label_map, {**flat, 0: (255, 255, 255)})
    assert "is an image of 3 colours, not of a few flat ones on black; save it as an indexed" in refused(path)

    label_map[1, 40] = label_map[5, 50] = 3
    save_colours(path, label_map, {**flat, 3: (130, 10, 10)})
    assert "on edges only" in refused(path)

    many = np.arange(40)
    save_colours(path, blocks(many), {0: (0, 0, 0), **{int(i): (0, 255 - int(i), 9) for i in many[1:]}})
    assert "is an image of 40 colours" in refused(path)


def test_smoothly_drawn_colours(tmp_path: Path) -> None:
    image = Image.merge("RGB", [drawing("ellipse", 2), drawing("line", 2), Image.new("L", (640, 360))])
    path = save(tmp_path / "a.png", image.resize((320, 180), Image.Resampling.BOX))
    assert "on edges only" in refused(path, width=320, height=180)


# ---- soft edges ----

SHAPES = ["ellipse", "dot", "rectangle", "polygon", "line"]


def assert_soft(image: Image.Image) -> None:
    values = np.array(image)
    if len(np.unique(values)) > 2:  # a rectangle may be unchanged
        with pytest.raises(AnnotationError, match=r"soft\.png has soft edges .*; threshold it"):
            check_label_map(values, width=values.shape[1], height=values.shape[0], name="soft.png")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fill", [255, 128, 60])
def test_anti_aliased_drawings_are_refused(shape: str, fill: int) -> None:
    assert_soft(drawing(shape, 2, 255).resize((320, 180), Image.Resampling.BOX))
    for scale in (4, 8):
        assert_soft(drawing(shape, scale, fill).resize((320, 180), Image.Resampling.BOX))
        assert_soft(drawing(shape, scale, fill).resize((320, 180), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("shape", SHAPES)
def test_smoothly_resized_and_blurred_masks_are_refused(shape: str) -> None:
    for size in ((480, 270), (500, 281), (1280, 720), (213, 120)):
        assert_soft(drawing(shape).resize(size, Image.Resampling.BILINEAR))
        assert_soft(drawing(shape).resize(size, Image.Resampling.BICUBIC))
    for radius in (0.5, 1, 2, 5):
        assert_soft(drawing(shape).filter(ImageFilter.GaussianBlur(radius)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("quality", [50, 75, 90, 95])
def test_masks_that_were_jpeg_once_are_refused(tmp_path: Path, shape: str, quality: int) -> None:
    assert_soft(jpeg(drawing(shape), tmp_path / "a.jpg", quality))
    assert_soft(jpeg(drawing(shape, 4).resize((320, 180), Image.Resampling.BOX), tmp_path / "a.jpg", quality))
    if shape not in ("dot", "rectangle"):  # these leave few values
        assert_soft(jpeg(drawing(shape, fill=60), tmp_path / "a.jpg", quality))


def test_jpeg_files_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", drawing("ellipse", fill=3))
    message = refused(tmp_path / "a.jpg", width=320, height=180)
    assert message.startswith(f"{tmp_path / 'a.jpg'} is a JPEG file")
    assert "save it as" in message


@needs_davis
def test_photographs_are_refused() -> None:
    for path in sorted((SHARED / "davis" / "JPEGImages" / "480p").glob("*/00000.jpg")):
        with Image.open(path) as image:
            assert_soft(image.convert("L"))
        assert str(path) in refused(path, width=854, height=480)


@needs_davis
def test_davis_masks_are_accepted() -> None:
    for path in [path for root in DAVIS_SETS for path in sorted(root.glob("*/*.png"))[::5]]:
        with Image.open(path) as image:
            values = np.array(image)
        if values.any():
            assert np.array_equal(check_label_map(values, width=values.shape[1], height=values.shape[0]), values)


def grid(size: int, gap: int) -> Array:
    """254 squares with sequential ids."""
    label_map = np.zeros((180, 320), np.uint8)
    for i in range(254):
        row, column = divmod(i, 20)
        y, x = 5 + row * (size + gap), 5 + column * (size + gap)
        label_map[y : y + size, x : x + size] = i + 1
    return label_map


def lines(step: int) -> Array:
    """254 lines one pixel wide with sequential ids."""
    label_map = np.zeros((600, 320), np.uint8)
    for i in range(254):
        label_map[20 + i * step, 20:300] = i + 1
    return label_map


def diagonal_lines() -> Array:
    label_map = np.zeros((300, 700), np.uint8)
    for i in range(254):
        cv2.line(label_map, (10 + 2 * i, 10), (150 + 2 * i, 290), i + 1)
    return label_map


def crossing_lines() -> Array:
    rng, label_map = np.random.default_rng(1), np.zeros((300, 300), np.uint8)
    for i in range(40):
        ends = rng.integers(0, 300, (2, 2)).tolist()
        cv2.line(label_map, ends[0], ends[1], i + 1)
    return label_map


def cells() -> Array:
    """254 objects that fill the image, next to one another."""
    rng, (y, x) = np.random.default_rng(2), np.mgrid[:180, :320]
    seeds = rng.uniform(0, [[180, 320]], (254, 2))
    distance = (y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2
    return (distance.argmin(axis=-1) + 1).astype(np.uint8)


def shuffled(label_map: Array) -> Array:
    ids = np.random.default_rng(3).permutation(254) + 1
    return np.array([0, *ids, 255], np.uint8)[label_map]


def crumbs_and_a_block() -> Array:
    label_map = shuffled(grid(2, 0))
    label_map[100:160, 100:200] = 9
    return label_map


def with_void(thickness: int) -> Array:
    """Objects with a band of 255 around them, as DAVIS' void."""
    label_map = np.array(drawing("ellipse", fill=1)) + np.array(drawing("dot", fill=1))
    band = cv2.dilate(label_map, np.ones((2 * thickness + 1,) * 2, np.uint8)) > 0
    return np.where(label_map > 0, label_map, np.where(band, 255, 0)).astype(np.uint8)


def slivers() -> Array:
    """Two lines between larger objects and the background."""
    label_map = blocks([9, 8])
    label_map[1:7, 7] = 1
    label_map[7, 9:15] = 2
    return label_map


@pytest.mark.parametrize(
    "label_map",
    [
        grid(1, 1),  # single pixels without a gap could as well be a slope
        *(grid(size, gap) for size in (2, 3, 5) for gap in (0, 1, 2)),
        shuffled(grid(4, 0)),
        shuffled(grid(3, 0)),
        crumbs_and_a_block(),
        lines(1),
        lines(1).T,
        lines(2),
        diagonal_lines(),
        crossing_lines(),
        cells(),
        with_void(1),
        with_void(3),
        slivers(),
        np.array(drawing("line", fill=7)),
    ],
)
def test_label_maps_without_soft_edges_are_accepted(label_map: Array) -> None:
    height, width = label_map.shape
    assert np.array_equal(check_label_map(label_map, width=width, height=height), label_map)


# ---- arrays ----


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint64])
def test_any_integer_type(dtype: type) -> None:
    label_map = blocks([1, 2, 100], dtype)
    before = label_map.copy()
    checked = check_label_map(label_map, width=WIDTH, height=HEIGHT)
    assert checked.dtype == np.uint8
    assert np.array_equal(checked, before)
    checked[:] = 9  # it is a copy
    assert np.array_equal(label_map, before)


def test_bool_is_object_1() -> None:
    for mask in (blocks([1]) > 0, np.ones((HEIGHT, WIDTH), bool)):
        assert np.array_equal(check_label_map(mask, width=WIDTH, height=HEIGHT), mask)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (blocks([1]) * np.float32(0.5), "mine is of type float32 and has values such as 0.5, .* threshold it"),
        (np.full((HEIGHT, WIDTH), np.nan), "mine is of type float64 and has values such as nan"),
        (blocks([1]) * 1j, "mine is of type complex128"),
        (blocks([1])[..., None].repeat(2, axis=2), r"mine has the shape \(48, 64, 2\); .* number×height×width"),
        (np.dstack([blocks([1]), blocks([2]), blocks([1])]), r"mine has the shape \(48, 64, 3\) and is coloured"),
        (np.dstack([blocks([1])] * 3 + [blocks([255])]), r"transparent parts; give its alpha: mask\[\.\.\., 3\] > 0"),
        (np.zeros((0, 4), np.uint8), r"mine has the shape \(0, 4\)"),
        (np.zeros((HEIGHT, WIDTH), bool), "mine holds no object"),
        (blocks([1]).astype(np.int16) - 1, "mine has the pixel value -1"),
        (blocks([1, 256], np.int64), "mine has the pixel value 256"),
    ],
)
def test_arrays_that_are_not_label_maps(values: npt.NDArray[np.generic], text: str) -> None:
    with pytest.raises(AnnotationError, match=text):
        check_label_map(values, width=WIDTH, height=HEIGHT, name="mine")


KINDS: list[Callable[[Array], Any]] = [
    np.asarray,
    torch.from_numpy,
    Image.fromarray,
    lambda mask: mask.tolist(),
    lambda mask: mask.astype(np.float32),
    lambda mask: mask[None],
    lambda mask: mask[..., None],
    lambda mask: np.dstack([mask] * 3),
    lambda mask: np.dstack([mask] * 3 + [np.full_like(mask, 255)]),
    lambda mask: torch.from_numpy(mask).repeat(3, 1, 1),
    lambda mask: [mask],
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_map_of_any_kind(kind: Callable[[Array], Any]) -> None:
    label_map = blocks([1, 2, 100])
    assert np.array_equal(check_label_map(kind(label_map), width=WIDTH, height=HEIGHT), label_map)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_of_one_object_each(kind: Callable[[Array], Any], tmp_path: Path) -> None:
    first, second = blocks([0, 255]), blocks([1])
    expected = blocks([2, 1])
    path = save(tmp_path / "a.png", second)
    for masks in ([kind(first), kind(second)], {1: kind(first), np.int64(2): kind(second)}, (kind(first), path)):
        assert np.array_equal(check_label_map(masks, width=WIDTH, height=HEIGHT), expected)
    by_id = check_label_map({7: kind(second)}, width=WIDTH, height=HEIGHT)
    assert np.array_equal(by_id, blocks([7]))


@pytest.mark.parametrize(
    "stack",
    [
        np.asarray,
        torch.from_numpy,
        lambda masks: masks.tolist(),
        lambda masks: masks[:, None],
        lambda masks: masks * 1.0,
    ],
)
def test_a_stack_of_masks(stack: Callable[[npt.NDArray[np.bool_]], Any]) -> None:
    masks = np.stack([blocks([0, 1]), blocks([0, 0, 1]), blocks([1])]) > 0
    assert np.array_equal(check_label_map(stack(masks), width=WIDTH, height=HEIGHT), blocks([3, 1, 2]))
    assert np.array_equal(check_label_map(stack(masks[:1]), width=WIDTH, height=HEIGHT), blocks([0, 1]))


def test_overlapping_masks_in_memory(expect_warning: ExpectWarning) -> None:
    below, above = np.zeros((2, HEIGHT, WIDTH), bool)
    below[:, :20], above[:10, 15:30] = True, True
    label_map = check_label_map([below, above], width=WIDTH, height=HEIGHT, name="mine")
    expect_warning("object 1 of mine and object 2 of mine overlap in 50 pixels")
    assert np.array_equal(label_map, np.where(above, 2, below))


@pytest.mark.parametrize(
    ("masks", "text"),
    [
        (None, "mine is of the type NoneType; a mask must be an array, a torch tensor or a Pillow image"),
        ("a.png", "mine is of the type str; read it with load_first_masks"),
        (io.BytesIO(b"x"), "mine is of the type BytesIO"),
        ([], "mine is of the type list"),
        ({}, "mine holds no object: it is an empty mapping"),
        ({0: blocks([1])}, "mine has the key 0; object ids must be whole numbers 1 to 254"),
        ({"1": blocks([1])}, "mine has the key 1; object ids"),
        ({True: blocks([1])}, "mine has the key True"),
        ({1: blocks([1, 2])}, "object 1 of mine has the pixel values 0, 1, 2; where several"),
        ({3: None}, "object 3 of mine is of the type NoneType"),
        ([blocks([1]), blocks([])], "object 2 of mine holds no object"),
        ([blocks([1]), None], "object 2 of mine is of the type NoneType"),
        ([blocks([1]), blocks([1])[:9]], "object 2 of mine is 64×9 pixels"),
        ([blocks([1]), "none.png"], "none.png: no such file"),
        ([blocks([1]), ""], "the name of a mask is empty"),
        (np.zeros((255, HEIGHT, WIDTH), bool), "255 masks were given: 254 objects at most"),
        (np.zeros((2, 3, HEIGHT, WIDTH), bool), r"mine has the shape \(2, 3, 48, 64\)"),
        (torch.rand(HEIGHT, WIDTH), "mine is of type float32 and has values such as"),
        (Image.new("CMYK", (WIDTH, HEIGHT)), "mine is an image of mode CMYK"),
    ],
)
def test_masks_in_memory_that_cannot_be_used(masks: Any, text: str) -> None:
    with pytest.raises(AnnotationError, match=text):
        check_label_map(masks, width=WIDTH, height=HEIGHT, name="mine")


def test_files_and_masks_of_any_kind(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", blocks([1]))
    size = {"width": WIDTH, "height": HEIGHT}
    other = blocks([0, 1])
    for source, expected in (
        (str(path), [1]),
        ((each for each in [path, save(tmp_path / "b.png", other)]), [1, 2]),
        ([path, other > 0], [1, 2]),
        ({4: path, 9: torch.from_numpy(other)}, [4, 9]),
        (Image.open(path), [1]),
    ):
        assert np.array_equal(load_masks(source, **size), blocks(expected))
    assert np.array_equal(check_label_map([str(path)], **size), blocks([1]))
    for source in (7, None, path.open("rb")):
        with pytest.raises(AnnotationError, match=r"the first mask is of the type (int|NoneType|BufferedReader)"):
            load_masks(source, **size)  # type: ignore[arg-type]


# ---- 255: void or an object ----


def greys(*values: int) -> Array:
    """A map of 160×120 with a square of 24×24 of every value."""
    label_map = np.zeros((120, 160), np.uint8)
    for i, value in enumerate(values):
        label_map[8 + 30 * (i // 5) :, 4 + 30 * (i % 5) :][:24, :24] = value
    return label_map


def rimmed(label_map: Array, width: int) -> Array:
    """The map with VOC's void along all borders of objects, so many pixels wide."""
    edge = np.zeros(label_map.shape, np.uint8)
    edge[:, 1:] |= label_map[:, 1:] != label_map[:, :-1]
    edge[1:] |= label_map[1:] != label_map[:-1]
    rim = cv2.dilate(edge, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    return np.where(rim > 0, 255, label_map).astype(np.uint8)


def adjoining(*values: int) -> Array:
    """Bands side by side that fill the map, with a disc of the first value on that of the last."""
    label_map = np.repeat(np.array(values, np.uint8), 40)[None].repeat(120, axis=0)
    return np.asarray(cv2.circle(label_map, (label_map.shape[1] - 20, 60), 12, values[0], -1))


def small_object(value: int) -> Array:
    label_map = greys(127)
    label_map[20:25, 28:33] = value  # beside the square of 127
    return label_map


SPREAD = [(127, 255), (128, 255), (85, 170, 255), (64, 128, 192, 255), (63, 127, 191, 255), (51, 102, 153, 204, 255)]


class TestValue255:
    @pytest.mark.parametrize("ids", SPREAD)
    def test_spread_greys_are_objects(self, tmp_path: Path, ids: Sequence[int], expect_warning: ExpectWarning) -> None:
        for label_map in (greys(*ids), adjoining(*ids)):
            height, width = label_map.shape
            expected = np.searchsorted([0, *ids], label_map)
            path = save(tmp_path / "a.png", label_map)
            indexed = Image.fromarray(label_map).convert("P")  # with the greys as its palette
            size = {"width": width, "height": height}
            coloured = save(tmp_path / "b.png", Image.fromarray(label_map).convert("RGB"))
            for source in (path, coloured, save(tmp_path / "c.png", indexed), label_map):
                found = load_masks(source, **size)
                message = expect_warning("255 is an object, as the ids are spread over the greys; they became")
                assert ", ".join(f"{value} = {i}" for i, value in enumerate(ids, start=1)) in message
                assert np.array_equal(found, expected)

    def test_small_object_that_touches_another(self, tmp_path: Path, expect_warning: ExpectWarning) -> None:
        label_map = small_object(255)
        found = load(save(tmp_path / "a.png", label_map), width=160, height=120)
        expect_warning("127 = 1, 255 = 2")
        assert np.array_equal(found, np.searchsorted([0, 127, 255], label_map))

    @pytest.mark.parametrize("values", [greys(1, 255), greys(1, 2, 255), greys(100, 255), adjoining(3, 255)])
    def test_other_areas_in_a_grey_image_are_refused(self, tmp_path: Path, values: Array) -> None:
        height, width = values.shape
        message = refused(save(tmp_path / "a.png", values), width=width, height=height)
        assert "of 255 that are no rim along an object: if they are an object, give it another id, such as " in message
        assert "if they are to be ignored, save the mask as an indexed (palette) PNG" in message

    def test_other_areas_in_an_array_are_void_with_a_warning(self, expect_warning: ExpectWarning) -> None:
        values = greys(3, 255)
        assert np.array_equal(check_label_map(values, width=160, height=120), values)
        expect_warning("has 576 pixels of 255 that are no rim along an object; 255 is ignored: .* such as 1")

    def test_void_of_an_indexed_image(self, tmp_path: Path, expect_warning: ExpectWarning) -> None:
        for values in (greys(1, 255), greys(1, 2, 255), greys(7, 255), rimmed(greys(1, 2), 5)):
            write_palette_png(tmp_path / "a.png", values)
            assert np.array_equal(load(tmp_path / "a.png", width=160, height=120), values)
            if np.count_nonzero(values == 255) == 576:  # no rim
                expect_warning("576 pixels of 255, which is void in an indexed image, are ignored; if they are an")
        write_palette_png(tmp_path / "a.png", greys(85, 170, 255))
        message = refused(tmp_path / "a.png", width=160, height=120)
        assert "number the objects 1, 2, …, the last of them 3 if 255 is one of them" in message

    @pytest.mark.parametrize("width", [1, 3, 5])
    def test_rims_are_void(self, tmp_path: Path, width: int) -> None:
        thin = cv2.line(greys(1, 15), (5, 110), (150, 100), 20, 3)  # which a rim of 5 pixels hides
        for values in (rimmed(greys(1, 2, 3), width), rimmed(greys(15), width), rimmed(np.asarray(thin), width)):
            assert np.array_equal(load(save(tmp_path / "a.png", values), width=160, height=120), values)

    def test_an_enlarged_rim_is_void(self, tmp_path: Path) -> None:
        large = np.pad(greys(1, 2, 3), ((0, 255), (0, 340)))  # 500×375, as VOC's images
        values = rimmed(large, 5).repeat(3, axis=0).repeat(3, axis=1)
        assert np.array_equal(load(save(tmp_path / "a.png", values), width=1500, height=1125), values)

    def test_a_rim_along_spread_greys(self, tmp_path: Path, expect_warning: ExpectWarning) -> None:
        values = rimmed(greys(127), 5)
        assert np.array_equal(load(save(tmp_path / "a.png", values), width=160, height=120), values)
        expect_warning("255 is ignored, as it is a rim along the objects 127")

    def test_a_strip_along_a_part_of_an_object(self, tmp_path: Path, expect_warning: ExpectWarning) -> None:
        values = greys(3)
        values[8:32, 28:32] = 255
        assert np.array_equal(load(save(tmp_path / "a.png", values), width=160, height=120), values)
        expect_warning("255 is ignored, as it is only in strips along the objects 3")

    @needs_davis
    def test_davis_with_rims_of_voc(self) -> None:
        for path in sorted((SHARED / "davis" / "Annotations" / "480p").glob("*/0000[05].png")):
            with Image.open(path) as image:
                values = rimmed(np.array(image), 5)
            if values.min() < values.max() and set(np.unique(values)) > {0, 255}:
                found = check_label_map(values, width=values.shape[1], height=values.shape[0])
                assert np.array_equal(found, values)


# ---- transparent and turned images ----


class TestAlpha:
    def cutout(self, colours: npt.ArrayLike, shown: npt.NDArray[np.integer]) -> Image.Image:
        rgb = np.broadcast_to(np.asarray(colours, np.uint8), (HEIGHT, WIDTH, 3))
        return Image.fromarray(np.dstack([rgb, np.where(shown > 0, 255, 0).astype(np.uint8)]))

    @pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0)])
    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_what_is_opaque_is_the_object(self, tmp_path: Path, colour: tuple[int, ...], mode: str) -> None:
        image = self.cutout(colour, blocks([1])).convert(mode)
        assert np.array_equal(load(save(tmp_path / "a.png", image)), blocks([1]))

    def test_a_photograph(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3))
        for colours in (noise, np.dstack([noise[..., 0]] * 3), noise // 86):
            image = self.cutout(colours, blocks([1, 1]))
            assert np.array_equal(load(save(tmp_path / "a.png", image)), blocks([1, 1]))
        assert np.array_equal(check_label_map(image, width=WIDTH, height=HEIGHT), blocks([1, 1]))

    def test_flat_colours_have_their_ids(self, tmp_path: Path, expect_warning: ExpectWarning) -> None:
        ids = blocks([2, 1, 3])
        image = self.cutout(DAVIS_PALETTE[ids], ids)
        assert np.array_equal(load(save(tmp_path / "a.png", image)), ids)
        assert np.array_equal(load(save(tmp_path / "b.png", self.cutout(np.dstack([ids] * 3), ids))), ids)
        colours = np.array([(9, 9, 9), (0, 0, 255), (250, 5, 5), (255, 255, 255)])
        assert np.array_equal(load(save(tmp_path / "c.png", self.cutout(colours[ids], ids))), ids)
        expect_warning("#0000ff = 1, #fa0505 = 2, #ffffff = 3")

    def test_what_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        assert "holds no object: it is transparent" in refused(save(path, self.cutout((255, 255, 255), blocks([]))))
        soft = self.cutout((255, 255, 255), blocks([1]))
        soft.putalpha(Image.fromarray(blocks([255])).filter(ImageFilter.GaussianBlur(1)))
        assert "is partly transparent, with" in refused(save(path, soft))
        black = self.cutout(DAVIS_PALETTE[blocks([0, 1])], blocks([1, 1]))
        assert "has opaque black beside other colours" in refused(save(path, black))

    def test_a_transparent_index(self, tmp_path: Path) -> None:
        image = Image.fromarray(blocks([7, 7]), "P")
        image.putpalette(np.array([(250, 250, 250)] * 8, np.uint8).tobytes())
        image.save(tmp_path / "a.png", transparency=0)
        assert np.array_equal(load(tmp_path / "a.png"), blocks([7, 7]))
        image = Image.fromarray(np.where(blocks([1]) > 0, 0, 5).astype(np.uint8), "P")
        image.putpalette(np.array([(250, 250, 250)] * 8, np.uint8).tobytes())
        image.save(tmp_path / "b.png", transparency=5)
        assert np.array_equal(load(tmp_path / "b.png"), blocks([1]) * 250)


ORIENTATIONS: dict[int, Callable[[Array], Array]] = {  # of EXIF: how the pixels are stored
    2: np.fliplr,
    3: lambda m: np.rot90(m, 2),
    4: np.flipud,
    5: np.transpose,
    6: np.rot90,
    7: lambda m: np.rot90(np.transpose(m), 2),
    8: lambda m: np.rot90(m, -1),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_exif_turn(tmp_path: Path, orientation: int, suffix: str) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[8:24, 16:32] = 255  # on JPEG's grid of blocks
    image = Image.fromarray(np.ascontiguousarray(ORIENTATIONS[orientation](mask)))
    exif = image.getexif()
    exif[274] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif, **({"compression": "tiff_lzw"} if suffix == "tif" else {}))
    assert np.array_equal(load(tmp_path / f"a.{suffix}"), mask > 0)


def test_exif_turn_of_an_uncompressed_tiff(tmp_path: Path) -> None:
    image = Image.fromarray(np.ascontiguousarray(np.rot90(blocks([255]))))
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / "a.tif", exif=exif)  # which Pillow 13 mixes up
    assert "is an uncompressed TIFF that is stored turned" in refused(tmp_path / "a.tif")


def test_exif_turn_that_does_not_fit(tmp_path: Path) -> None:
    image = Image.fromarray(blocks([1]))
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load(tmp_path / "a.png"), blocks([1]))


def test_further_images_of_a_file(tmp_path: Path, expect_warning: ExpectWarning) -> None:
    first, second = Image.fromarray(blocks([1])), Image.fromarray(blocks([0, 1]))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert np.array_equal(load(tmp_path / "a.tif"), blocks([1]))
    expect_warning("only the first of its 2 images is read")


# ---- size ----


@pytest.mark.parametrize(
    ("mask_size", "size"),
    [
        ((854, 480), (1920, 1080)),
        ((1920, 1080), (854, 480)),
        ((3840, 2160), (426, 240)),
        ((852, 480), (854, 480)),
        ((64, 36), (1280, 720)),
        ((480, 854), (1080, 1920)),
    ],
)
def test_resized_if_only_the_size_differs(
    mask_size: tuple[int, int], size: tuple[int, int], expect_warning: ExpectWarning
) -> None:
    mask = np.zeros(mask_size[::-1], np.uint8)
    mask[mask_size[1] // 4 : mask_size[1] // 2, mask_size[0] // 2 :] = 38
    resized = check_label_map(mask, width=size[0], height=size[1], name="a.png")
    expect_warning(f"a.png is {mask_size[0]}×{mask_size[1]} .* is {size[0]}×{size[1]}")
    assert resized.shape == size[::-1]
    assert np.unique(resized).tolist() == [0, 38]
    rows, columns = np.nonzero(resized)
    tolerance = max(1.0, size[0] / mask_size[0])
    assert abs(rows.min() - size[1] / 4) <= tolerance
    assert abs(rows.max() + 1 - size[1] / 2) <= tolerance
    assert abs(columns.min() - size[0] / 2) <= tolerance
    assert columns.max() == size[0] - 1


def test_nearest_neighbour_is_centred(expect_warning: ExpectWarning) -> None:
    mask = np.array([[1, 2], [3, 4]], np.uint8)
    assert np.array_equal(check_label_map(mask, width=6, height=6), mask.repeat(3, 0).repeat(3, 1))
    expect_warning("resized")
    assert np.array_equal(check_label_map(mask.repeat(3, 0).repeat(3, 1), width=2, height=2), mask)
    expect_warning("resized")
    dots = np.zeros((60, 60), np.uint8)
    dots[1::3, 1::3] = 5  # the middles of squares of 3×3
    assert (check_label_map(dots, width=20, height=20) == 5).all()
    expect_warning("resized")


@pytest.mark.parametrize("size", [(640, 480), (1920, 1088), (854, 400), (100, 480)])
def test_other_aspect_ratio(size: tuple[int, int]) -> None:
    mask = np.ones((480, 854), np.uint8)
    with pytest.raises(AnnotationError, match=f"854×480 pixels, the video is {size[0]}×{size[1]}; it must have"):
        check_label_map(mask, width=size[0], height=size[1])


@pytest.mark.parametrize("size", [(480, 854), (1080, 1920)])
def test_turned(size: tuple[int, int]) -> None:
    with pytest.raises(AnnotationError, match="width and height are swapped"):
        check_label_map(np.ones((480, 854), np.uint8), width=size[0], height=size[1])


@pytest.mark.parametrize("size", [(480, 272), (960, 544), (479, 272), (360, 272)])
def test_size_in_which_the_video_is_shown(size: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    mask = np.zeros(size[::-1], np.uint8)
    mask[:, size[0] // 2 :] = 1
    found = check_label_map(mask, width=360, height=272, pixel_aspect=Fraction(4, 3))
    assert np.array_equal(found[0], np.repeat([0, 1], 180))
    for size_of_another in (640, 272), (272, 480):
        with pytest.raises(AnnotationError, match=r"the video is 360×272 \(shown as 480×272\)"):
            check_label_map(np.ones(size_of_another[::-1], bool), width=360, height=272, pixel_aspect=Fraction(4, 3))
    caplog.clear()


def test_object_lost_by_resizing() -> None:
    mask = np.zeros((480, 640), np.uint8)
    mask[100:200, 100:200] = 1
    mask[4, 4] = 17
    with pytest.raises(AnnotationError, match="object 17 has no pixel left"):
        check_label_map(mask, width=64, height=48)
    mask[4, 5:7] = 18
    with pytest.raises(AnnotationError, match="objects 17, 18 have no pixel left"):
        check_label_map(mask, width=64, height=48)


def test_several_files_of_different_sizes(tmp_path: Path, expect_warning: ExpectWarning) -> None:
    a = save(tmp_path / "a.png", blocks([255]))
    b = save(tmp_path / "b.png", np.roll(blocks([255]), 30, axis=1).repeat(2, 0).repeat(2, 1))
    assert np.array_equal(load(a, b), blocks([1]) + 2 * np.roll(blocks([1]), 30, axis=1))
    expect_warning("128×96")

"""Masks of the first frame: files and arrays that are accepted, with warnings, and those that are refused."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFilter

from persam_video.errors import AnnotationError
from persam_video.files.palette_png import DAVIS_PALETTE, VOC_PALETTE, write_palette_png
from persam_video.inputs.first_mask import check_label_map, load_first_masks

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
    assert "no first mask" in refused()


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
    assert "255 first masks" in refused(*[tmp_path / "a.png"] * 255)


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

    save_colours(path, blocks([1]), {0: (0, 0, 0, 0), 1: (255, 0, 0, 255)})
    assert "partly transparent" in refused(path)


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


def line_beside_void() -> Array:
    label_map = blocks([])
    label_map[20, 5:40] = 3
    label_map[30:45, 5:60] = 255
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
        line_beside_void(),
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
        (blocks([1]).astype(np.float32), "mine is of type float32"),
        (blocks([1])[..., None], r"mine has the shape \(48, 64, 1\)"),
        (np.zeros((0, 4), np.uint8), r"mine has the shape \(0, 4\)"),
        (np.zeros((HEIGHT, WIDTH), bool), "mine holds no object"),
        (blocks([1]).astype(np.int16) - 1, "mine has the pixel value -1"),
        (blocks([1, 256], np.int64), "mine has the pixel value 256"),
    ],
)
def test_arrays_that_are_not_label_maps(values: npt.NDArray[np.generic], text: str) -> None:
    with pytest.raises(AnnotationError, match=text):
        check_label_map(values, width=WIDTH, height=HEIGHT, name="mine")


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

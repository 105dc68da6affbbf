"""Overlays: areas, outlines and tags are drawn with the right colours, sizes and positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persam_video.drawing import draw_overlay, overlay_palette
from persam_video.files.palette_png import DAVIS_PALETTE

SHARED = Path(__file__).parents[1].parent / "shared"
DAVIS = SHARED / "davis_small"
needs_davis = pytest.mark.skipif(not DAVIS.exists(), reason="needs DAVIS sequences in ../shared/davis_small")

SIZES = [(240, 426), (480, 854), (1080, 1920), (2160, 3840)]


def scene(height: int, width: int, grey: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """A grey frame with object 1 on the left, 2 on the right, both in its lower half."""
    image = np.full((height, width, 3), grey, np.uint8)
    label_map = np.zeros((height, width), np.uint8)
    label_map[height // 2 : height * 9 // 10, width // 10 : width * 4 // 10] = 1
    label_map[height // 2 : height * 9 // 10, width * 6 // 10 : width * 9 // 10] = 2
    return image, label_map


def changed(image: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return np.any(image != drawn, axis=-1)


def tag_box(image: np.ndarray, label_map: np.ndarray, object_id: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of an object's tag, from the pixels that change outside the object."""
    others = [i for i in range(1, 256) if i != object_id]
    drawn = draw_overlay(
        image, np.where(np.isin(label_map, others), 0, label_map).astype(np.uint8), object_ids=[object_id]
    )
    rows, columns = np.nonzero(changed(image, drawn) & (label_map != object_id))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_draws_a_new_image_of_the_same_size(height: int, width: int) -> None:
    image, label_map = scene(height, width)
    image_before, labels_before = image.copy(), label_map.copy()
    drawn = draw_overlay(image, label_map, object_ids=(1, 2))
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert not np.shares_memory(drawn, image)
    assert np.array_equal(image, image_before)
    assert np.array_equal(label_map, labels_before)
    assert changed(image, drawn)[label_map > 0].all()


def test_areas_have_the_blended_colour() -> None:
    image, label_map = scene(480, 854)
    blends = {0.0: (90, 90), 0.25: (110, 67), 0.45: (126, 49), 1.0: (171, 0)}  # of grey 90 with 171 and with 0
    for opacity, (bright, dark) in blends.items():
        drawn = draw_overlay(image, label_map, object_ids=(1, 2), opacity=opacity)
        assert np.abs(drawn[380, 200] - np.array([bright, dark, dark])).max() <= 1  # object 1 is red
        assert np.abs(drawn[380, 620] - np.array([dark, bright, dark])).max() <= 1  # object 2 is green
        assert (drawn[20, 20] == 90).all()


def test_colours_have_the_hue_of_the_palette_png() -> None:
    colours = overlay_palette().astype(float)
    for object_id in range(1, 22):
        png = DAVIS_PALETTE[object_id].astype(float)
        assert np.allclose(colours[object_id] / colours[object_id].max(), png / png.max(), atol=0.02), object_id
        assert colours[object_id].max() > png.max()
    distance = np.abs(colours[1:255, None] - colours[None, 1:255]).max(axis=-1)
    assert (distance + 999 * np.eye(254)).min() >= 10


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_lines_and_tags_scale_with_the_image(height: int, width: int) -> None:
    image, label_map = scene(height, width)
    drawn = draw_overlay(image, label_map, object_ids=(1, 2), opacity=0)
    row = changed(image, drawn)[int(height * 0.7)]
    left = width // 10
    line = int(np.argmin(row[left:]))  # from the border to the first unchanged pixel
    assert 0.8 <= line / max(1, height / 270) <= 1.2
    assert not row[left - 1]
    top, bottom, _, _ = tag_box(image, label_map, 1)
    assert height / 30 <= bottom - top <= height / 12


def test_outline_is_closed_except_along_the_image_edge() -> None:
    image, label_map = scene(480, 854)
    outline = changed(image, draw_overlay(image, label_map, object_ids=[2], opacity=0))
    for y, x in ((240, 520), (431, 700), (300, 512), (300, 767)):
        assert outline[y, x]
    label_map[300:, 512:768] = 2
    outline = changed(image, draw_overlay(image, label_map, object_ids=[2], opacity=0))
    assert outline[400, 512]
    assert not outline[479, 700]


def test_neighbours_have_an_outline_between_them() -> None:
    image = np.zeros((480, 854, 3), np.uint8)
    label_map = np.zeros((480, 854), np.uint8)
    label_map[200:400, 200:400], label_map[200:400, 400:600] = 1, 2
    drawn = draw_overlay(image, label_map, object_ids=(1, 2), opacity=0)
    assert drawn[300, 399, 0] > drawn[300, 399, 1]
    assert drawn[300, 400, 1] > drawn[300, 400, 0]
    assert not drawn[300, 390].any()
    assert not drawn[300, 410].any()


def test_only_the_requested_objects_are_drawn() -> None:
    image, label_map = scene(480, 854)
    label_map[:20, :20] = 255
    drawn = draw_overlay(image, label_map, object_ids=[2, 3])
    assert not changed(image, drawn)[(label_map == 1) | (label_map == 255)].any()
    assert changed(image, drawn)[label_map == 2].all()
    for ids in ((), (3,)):
        nothing = draw_overlay(image, label_map, object_ids=ids)
        assert np.array_equal(nothing, image)
        assert not np.shares_memory(nothing, image)


@pytest.mark.parametrize(("height", "width"), SIZES[:3])
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_tag_is_completely_inside_the_image_in_every_corner(height: int, width: int, corner: tuple[int, int]) -> None:
    image = np.full((height, width, 3), 90, np.uint8)
    label_map = np.zeros((height, width), np.uint8)
    y, x = corner[0] * (height - 4), corner[1] * (width - 4)
    label_map[y : y + 4, x : x + 4] = 200
    in_the_middle = np.zeros((height, width), np.uint8)
    in_the_middle[height // 2, width // 2] = 200
    cornered = changed(image, draw_overlay(image, label_map, object_ids=[200], opacity=0))
    free = changed(image, draw_overlay(image, in_the_middle, object_ids=[200], opacity=0))
    assert cornered.sum() >= free.sum() - 1
    rows, columns = np.nonzero(cornered)
    assert np.abs(rows - y).max() <= height / 8
    assert np.abs(columns - x).max() <= height / 8


@pytest.mark.parametrize("background", [0, 128, 255])
@pytest.mark.parametrize("object_id", [1, 2, 3, 4, 7, 8, 18, 36, 100, 254])
def test_text_is_readable_on_any_background(background: int, object_id: int) -> None:
    image, label_map = scene(480, 854, grey=background)
    label_map = np.where(label_map == 1, object_id, 0).astype(np.uint8)
    drawn = draw_overlay(image, label_map, object_ids=[object_id])
    top, bottom, left, right = tag_box(image, label_map, object_id)
    tag = drawn[top:bottom, left:right].astype(float) @ np.array([0.299, 0.587, 0.114])
    inner = tag[3:-3, 3:-3]
    fill = overlay_palette()[object_id].astype(float) @ np.array([0.299, 0.587, 0.114])
    ink = np.abs(inner - fill).max()
    assert ink >= 100
    assert 0.1 <= (np.abs(inner - fill) > ink / 2).mean() <= 0.6


def test_ids_have_different_texts() -> None:
    image, label_map = scene(480, 854)
    shapes = set()
    for object_id in (1, 7, 8, 11, 17, 71, 100, 101):
        drawn = draw_overlay(image, np.where(label_map == 1, object_id, 0).astype(np.uint8), object_ids=[object_id])
        tag = drawn[: 480 // 2]
        ink = np.abs(tag.astype(int) - overlay_palette()[object_id]).sum(axis=-1) < 60
        shapes.add(ink.tobytes())
    assert len(shapes) == 8


def test_stray_pixels_do_not_move_a_tag_away_from_its_object() -> None:
    image = np.full((480, 854, 3), 90, np.uint8)
    label_map = np.zeros((480, 854), np.uint8)
    label_map[200:400, 600:700] = 5
    label_map[10:12, 20:22] = 5
    top, bottom, left, right = tag_box(image, label_map, 5)
    assert 620 <= (left + right) / 2 <= 680
    assert 190 <= bottom <= 210
    assert top > 150


def test_tags_do_not_cover_one_another() -> None:
    image = np.zeros((480, 854, 3), np.uint8)
    label_map = np.zeros((480, 854), np.uint8)
    for object_id in range(1, 6):  # tops close to one another
        label_map[200 + 4 * object_id : 400, 400 + 2 * object_id : 440 + 2 * object_id] = object_id
    drawn = draw_overlay(image, label_map, object_ids=range(1, 6), opacity=0)
    tags = (drawn == 255).all(axis=-1)  # the rims, and white ink
    count = 0
    for object_id in range(1, 6):
        alone = draw_overlay(
            image, np.where(label_map == object_id, label_map, 0).astype(np.uint8), object_ids=[object_id]
        )
        count += int((alone == 255).all(axis=-1).sum())
    assert tags.sum() == count


def test_image_smaller_than_a_tag() -> None:
    image = np.zeros((5, 4, 3), np.uint8)
    drawn = draw_overlay(image, np.full((5, 4), 254, np.uint8), object_ids=[254])
    assert drawn.shape == (5, 4, 3)


def test_odd_memory_layouts() -> None:
    image, label_map = scene(240, 426)
    expected = draw_overlay(image, label_map, object_ids=(1, 2))
    flipped = image[:, :, ::-1]  # grey: the same image
    assert np.array_equal(draw_overlay(flipped, np.asfortranarray(label_map), object_ids={2, 1}), expected)
    image.flags.writeable = label_map.flags.writeable = False
    assert np.array_equal(draw_overlay(image, label_map, object_ids=iter([1, 2])), expected)


def test_wrong_arguments() -> None:
    image, label_map = scene(48, 64)
    for bad_image, bad_map, ids, opacity, message in (
        (image[..., :2], label_map, [1], 0.5, "image must be RGB"),
        (image.astype(np.float32), label_map, [1], 0.5, "image must be RGB"),
        (image, label_map[1:], [1], 0.5, "label map must be uint8"),
        (image, label_map.astype(np.int32), [1], 0.5, "label map must be uint8"),
        (image, label_map, [0, 1], 0.5, "object ids must be 1 to 255"),
        (image, label_map, [256], 0.5, "object ids must be 1 to 255"),
        (image, label_map, [1], 1.5, "opacity must be 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            draw_overlay(bad_image, bad_map, object_ids=ids, opacity=opacity)


@needs_davis
def test_seven_objects_of_a_real_sequence() -> None:
    for index in (0, 40, 79):
        with Image.open(DAVIS / "JPEGImages" / "480p" / "schoolgirls" / f"{index:05d}.jpg") as file:
            image = np.array(file.convert("RGB"))
        with Image.open(DAVIS / "Annotations" / "480p" / "schoolgirls" / f"{index:05d}.png") as file:
            label_map = np.array(file)
        drawn = draw_overlay(image, label_map, object_ids=range(1, 8))
        assert changed(image, drawn)[label_map > 0].mean() > 0.99
        assert changed(image, drawn)[label_map == 0].mean() < 0.05


def test_an_image_is_painted_in_strips_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    image, label_map = scene(480, 854)
    whole = draw_overlay(image, label_map, object_ids=(1, 2))
    monkeypatch.setattr("persam_video.drawing._ROWS", 7)
    np.testing.assert_array_equal(draw_overlay(image, label_map, object_ids=(1, 2)), whole)


class TestNames:
    IMAGE = np.full((240, 320, 3), 90, np.uint8)

    def label_map(self) -> np.ndarray:
        label_map = np.zeros((240, 320), np.uint8)
        label_map[60:120, 20:120], label_map[150:220, 180:300] = 1, 2
        return label_map

    def drawn(self, names: dict[int, str]) -> np.ndarray:
        return draw_overlay(self.IMAGE, self.label_map(), object_ids=[1, 2], names=names)

    def test_a_name_takes_the_place_of_the_id(self) -> None:
        plain, named = self.drawn({}), self.drawn({1: "dog"})
        changed = np.argwhere((plain != named).any(axis=2))
        assert len(changed)
        assert (changed[:, 0] < 120).all() and (changed[:, 1] < 140).all()
        assert not np.array_equal(named, self.drawn({1: "cat"}))

    def test_objects_of_one_name_have_their_ids_too(self) -> None:
        both = self.drawn({1: "dog", 2: "dog"})
        assert not np.array_equal(both[:130, :150], self.drawn({1: "dog"})[:130, :150])
        assert np.array_equal(both[:130, :150], self.drawn({1: "dog 1"})[:130, :150])

    def test_what_the_font_lacks(self) -> None:
        """Accents are left out; in other scripts the id is drawn."""
        assert np.array_equal(self.drawn({1: "Hündin"}), self.drawn({1: "Hundin"}))
        assert np.array_equal(self.drawn({1: "犬"}), self.drawn({}))

    def test_long_names_are_cut(self) -> None:
        assert np.array_equal(self.drawn({1: "a" * 90}), self.drawn({1: "a" * 21 + "..."}))

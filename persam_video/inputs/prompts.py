"""Box and point prompts, from which SAM makes the masks of an image: read from JSON files, and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from persam_video.errors import AnnotationError
from persam_video.files.json_file import read_json, shortened
from persam_video.frame import MAX_OBJECT_ID
from persam_video.inputs.json_values import coordinate, listed, mapping, plain
from persam_video.messages import one_line

Box = tuple[float, float, float, float]
"""XYXY, pixels from the upper left corner of the image."""

Point = tuple[float, float, bool]
"""X, Y, pixels from the upper left corner of the image; True: positive, on the object; False: negative, not on it."""


@dataclass(frozen=True, slots=True)
class ObjectPrompt:
    """Box and points of one object.

    Args:
        object_id: 1 to 254.
        box: around the object; None: it has none.
        points: positive and negative ones.
    """

    object_id: int
    box: Box | None = None
    points: tuple[Point, ...] = ()


def check_prompts(prompts: Iterable[ObjectPrompt], *, width: int, height: int) -> tuple[ObjectPrompt, ...]:
    """Checked prompts, one per object, by ascending id; several of the same object are merged.

    Args:
        prompts: in any order; their numbers may be of numpy or torch, and a point without a sign is positive.
        width: of the image, pixels.
        height: of the image, pixels.

    Raises:
        AnnotationError: an id is not from 1 to 254; a coordinate is no number, not finite or beyond any image; a box is
            empty, or an object has two; a point, or a whole box, is outside the image; or an object has neither a box
            nor a positive point.
    """
    merged: dict[int, ObjectPrompt] = {}
    for given in prompts:
        prompt = _checked(given)
        name = f"object {prompt.object_id}"
        if prompt.box is not None:
            _check_box(prompt.box, name, width, height)
        for x, y, _ in prompt.points:
            if not (0 <= x <= width and 0 <= y <= height):
                raise AnnotationError(f"{name}: the point {x:g} {y:g} is outside the image, {width}×{height}")
        other = merged.get(prompt.object_id)
        if other is not None:
            if other.box is not None and prompt.box is not None:
                raise AnnotationError(f"{name}: has two boxes; give one")
            prompt = replace(prompt, box=prompt.box or other.box, points=other.points + prompt.points)
        merged[prompt.object_id] = prompt
    for prompt in merged.values():
        if prompt.box is None and not any(positive for _, _, positive in prompt.points):
            raise AnnotationError(f"object {prompt.object_id}: has neither a box nor a point on it; give one of them")
    return tuple(merged[object_id] for object_id in sorted(merged))


def _checked(prompt: ObjectPrompt) -> ObjectPrompt:
    """Prompt of an id from 1 to 254 and plain, finite numbers."""
    if not isinstance(prompt, ObjectPrompt):
        raise AnnotationError(f"a prompt is of the type {type(prompt).__name__}; give an ObjectPrompt")
    object_id = plain(prompt.object_id)
    name = f"object {shortened(object_id)}"
    if isinstance(object_id, bool) or not isinstance(object_id, int) or not 1 <= object_id <= MAX_OBJECT_ID:
        raise AnnotationError(f"{name}: an object's id must be from 1 to {MAX_OBJECT_ID}")
    try:
        box = None if prompt.box is None else _box_of(prompt.box)
        points = () if prompt.points is None else tuple(map(_point_of, listed(prompt.points, "points")))
    except ValueError as error:
        raise AnnotationError(f"{name}: its box or a point has {one_line(error)}") from error
    return ObjectPrompt(object_id, box, points)


def _check_box(box: Box, name: str, width: int, height: int) -> None:
    x0, y0, x1, y1 = box
    shown = " ".join(f"{value:g}" for value in box)
    if x0 >= x1 or y0 >= y1:
        raise AnnotationError(f"{name}: the box {shown} is empty; give X0 Y0 X1 Y1 with X0 < X1 and Y0 < Y1")
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise AnnotationError(f"{name}: the box {shown} is outside the image, {width}×{height}")


def read_prompts(path: str | Path) -> tuple[ObjectPrompt, ...]:
    """Prompts from a JSON file, not checked.

    ``{"1": {"box": [x0, y0, x1, y1]}, "2": {"points": [[x, y], [x, y, "-"]]}}``: by object id, in pixels; a point with
    "-" is negative.

    Raises:
        AnnotationError: the file cannot be read, or is not in this format.
    """
    content = read_json(path, AnnotationError)
    try:
        prompts = tuple(_prompt_of(_id_of(key), each) for key, each in mapping(content, "the file").items())
        if not prompts:
            raise ValueError("no object")
        return prompts
    except ValueError as error:
        raise AnnotationError(
            f"{path}: is not in the format of boxes and points ({one_line(error)}); it should hold "
            '{"1": {"box": [x0, y0, x1, y1]}, "2": {"points": [[x, y], [x, y, "-"]]}}'
        ) from error


def _id_of(key: str) -> int:
    if not re.fullmatch("0|[1-9][0-9]{0,2}", key):
        raise ValueError(f"{shortened(key)} is no object id from 1 to {MAX_OBJECT_ID}")
    return int(key)


def _prompt_of(object_id: int, content: object) -> ObjectPrompt:
    prompt = mapping(content, "an object's prompt")
    if unknown := set(prompt) - {"box", "points"}:
        raise ValueError(f"unknown key: {', '.join(map(shortened, sorted(unknown)[:3]))}")
    box, points = prompt.get("box"), prompt.get("points")
    return ObjectPrompt(
        object_id,
        None if box is None else _box_of(box),
        () if points is None else tuple(map(_point_of, listed(points, "points"))),
    )


def _box_of(content: object) -> Box:
    values = listed(content, "a box")
    if len(values) != 4:
        raise ValueError(f"{len(values)} numbers where a box has 4: [x0, y0, x1, y1]")
    x0, y0, x1, y1 = map(coordinate, values)
    return x0, y0, x1, y1


def _point_of(content: object) -> Point:
    values = listed(content, "a point")
    sign = plain(values[2]) if len(values) == 3 else "+"
    is_on = sign in ("+", 1)  # also True
    if len(values) not in (2, 3) or not (is_on or sign in ("-", 0)):
        raise ValueError(f'the form {shortened(content)}; a point is [x, y], or [x, y, "+"] or [x, y, "-"]')
    return coordinate(values[0]), coordinate(values[1]), is_on

"""Box and point prompts, from which SAM makes the masks of an image: read from JSON files, and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from persam_video.errors import AnnotationError
from persam_video.frame import MAX_OBJECT_ID
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
        prompts: in any order.
        width: of the image, pixels.
        height: of the image, pixels.

    Raises:
        AnnotationError: an id is not from 1 to 254; a coordinate is not finite; a box is empty, or an object has two;
            a point, or a whole box, is outside the image; or an object has neither a box nor a positive point.
    """
    merged: dict[int, ObjectPrompt] = {}
    for prompt in prompts:
        name = f"object {prompt.object_id}"
        if not 1 <= prompt.object_id <= MAX_OBJECT_ID:
            raise AnnotationError(f"{name}: an object's id must be from 1 to {MAX_OBJECT_ID}")
        numbers = [*(prompt.box or ()), *(value for point in prompt.points for value in point[:2])]
        if not all(map(math.isfinite, numbers)):
            raise AnnotationError(f"{name}: its box or a point has a coordinate that is not finite; give pixels")
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


def _check_box(box: Box, name: str, width: int, height: int) -> None:
    x0, y0, x1, y1 = box
    shown = " ".join(f"{value:g}" for value in box)
    if x0 >= x1 or y0 >= y1:
        raise AnnotationError(f"{name}: the box {shown} is empty; give X0 Y0 X1 Y1 with X0 < X1 and Y0 < Y1")
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise AnnotationError(f"{name}: the box {shown} is outside the image, {width}×{height}")


def read_prompts(path: Path) -> tuple[ObjectPrompt, ...]:
    """Prompts from a JSON file, not checked.

    ``{"1": {"box": [x0, y0, x1, y1]}, "2": {"points": [[x, y], [x, y, "-"]]}}``: by object id, in pixels; a point with
    "-" is negative.

    Raises:
        AnnotationError: the file cannot be read, or is not in this format.
    """
    content = read_json(path)
    try:
        return tuple(_prompt_of(int(object_id), each) for object_id, each in dict(content).items())
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise AnnotationError(
            f"{path}: is not in the format of boxes and points ({one_line(error)}); it should hold "
            '{"1": {"box": [x0, y0, x1, y1]}, "2": {"points": [[x, y], [x, y, "-"]]}}'
        ) from error


def _prompt_of(object_id: int, content: Mapping[str, Any]) -> ObjectPrompt:
    if unknown := set(content) - {"box", "points"}:
        raise ValueError(f"unknown key: {', '.join(sorted(unknown))}")
    box = content.get("box")
    points = tuple(_point_of(each) for each in content.get("points", ()))
    if box is None:
        return ObjectPrompt(object_id, None, points)
    x0, y0, x1, y1 = map(float, box)
    return ObjectPrompt(object_id, (x0, y0, x1, y1), points)


def _point_of(content: Sequence[Any]) -> Point:
    x, y, *sign = content
    if sign not in ([], ["+"], ["-"]):
        raise ValueError(f'a point is [x, y], or [x, y, "+"] or [x, y, "-"], not {json.dumps(content)}')
    return float(x), float(y), sign != ["-"]


def read_json(path: Path) -> Any:
    """Content of a JSON file of annotations.

    Raises:
        AnnotationError: the file does not exist, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file; it should be a JSON file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AnnotationError(f"{path}: cannot be read as JSON ({one_line(error)})") from error

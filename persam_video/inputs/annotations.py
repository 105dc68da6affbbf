"""Everything that a user gives of a video's objects, read and checked: masks, boxes and points of the first frame, and
masks of later frames. Without torch, so that errors are reported before a model is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persam_video.errors import AnnotationError
from persam_video.frame import LabelMap, ids_in
from persam_video.inputs.coco import read_coco
from persam_video.inputs.first_mask import check_label_map, load_first_masks
from persam_video.inputs.later_masks import LaterMasks, MaskSource
from persam_video.inputs.prompts import ObjectPrompt, check_prompts, read_prompts
from persam_video.messages import parameter
from persam_video.video.reader import VideoReader

FirstMask = str | Path | Sequence[str | Path] | npt.NDArray[np.integer] | npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Annotations:
    """Annotations of a video, checked as far as that needs no model.

    Args:
        label_map: masks of the first frame, uint8, H×W; None: it has none.
        prompts: boxes and points of the first frame, of objects that have no mask there.
        later: masks of the frames after it.
    """

    label_map: LabelMap | None
    prompts: tuple[ObjectPrompt, ...]
    later: LaterMasks


def read_annotations(
    reader: VideoReader,
    *,
    first_mask: FirstMask | None = None,
    first_prompts: Iterable[ObjectPrompt] | str | Path = (),
    first_coco: str | Path | None = None,
    later_masks: Mapping[int, MaskSource] | Iterable[tuple[int, MaskSource]] = (),
    allow_empty: bool = False,
) -> Annotations:
    """Annotations of a video.

    Args: those of `persam_video.open_run`, and
        reader: of the video, before its frames are read.
        allow_empty: whether the first frame may have no annotation, as objects are known from saved targets.
    Raises:
        AnnotationError: an annotation cannot be used; an object, or the first frame, has two; or the first frame has
            none.
    """
    if first_mask is not None and first_coco is not None:
        raise AnnotationError(f"{parameter('first_mask')} and {parameter('first_coco')}: give one of them")
    first, size = reader.first, {"width": reader.info.width, "height": reader.info.height}
    label_map = None if first_mask is None else _load(first_mask, **size)
    given = read_prompts(Path(first_prompts)) if isinstance(first_prompts, (str, Path)) else tuple(first_prompts)
    if first_coco is not None:
        coco_masks, boxes = read_coco(Path(first_coco), first.name, **size)
        label_map = coco_masks if coco_masks.any() else None
        given = (*given, *boxes)
    prompts = check_prompts(given, **size)
    later = LaterMasks(later_masks.items() if isinstance(later_masks, Mapping) else later_masks, **size)
    if (of_first := later.pop(first)) is not None:
        if label_map is not None:
            raise AnnotationError(f"frame {first.index}, the first, has two masks; give one")
        label_map = of_first
    if label_map is None and not prompts and not allow_empty:
        advice = f", or {parameter('start')} at frame {later.unreached[0]}" if later.unreached else ""
        raise AnnotationError(
            f"no object is given in frame {first.index}, the first: give a mask, box or point{advice}"
        )
    if label_map is not None and (both := sorted({each.object_id for each in prompts} & set(ids_in(label_map)))):
        raise AnnotationError(f"object {both[0]}: has a mask and a box or points; give one of them, or another id")
    return Annotations(label_map, prompts, later)


def _load(first_mask: FirstMask, *, width: int, height: int) -> LabelMap:
    if isinstance(first_mask, np.ndarray):
        return check_label_map(first_mask, width=width, height=height)
    sources = [first_mask] if isinstance(first_mask, (str, Path)) else list(first_mask)
    return load_first_masks(sources, width=width, height=height)

"""What is given of a video's objects: masks of its first frame, boxes and points in it, masks of later frames.

Without torch, so that what is wrong with it can be said at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persam_video.errors import AnnotationError
from persam_video.frame import LabelMap, ids_in
from persam_video.inputs.first_mask import check_label_map, load_first_masks
from persam_video.inputs.later_masks import LaterMasks
from persam_video.inputs.prompts import ObjectPrompt, check_prompts
from persam_video.video.reader import VideoReader

FirstMask = str | Path | Sequence[str | Path] | npt.NDArray[np.integer] | npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Given:
    """All that is given, checked as far as it can be without a model.

    Args:
        label_map: the first frame's masks, uint8, H×W, or None.
        prompts: of objects of the first frame that have no mask.
        later: masks of the frames after it.
    """

    label_map: LabelMap | None
    prompts: tuple[ObjectPrompt, ...]
    later: LaterMasks


def gather(
    reader: VideoReader,
    *,
    first_mask: FirstMask | None = None,
    first_prompts: Iterable[ObjectPrompt] = (),
    later_masks: Iterable[tuple[int, Path]] = (),
    allow_empty: bool = False,
) -> Given:
    """Read and check what is given.

    Args:
        first_mask: see `persam_video.track`.
        first_prompts: boxes and points in the first frame.
        later_masks: frames' numbers and files; that of the first frame is its mask.
        allow_empty: whether objects are known from elsewhere.
    Raises:
        AnnotationError: a mask, box or point cannot be used; an object, or the first frame, has two of them; or there
            is nothing in the first frame.
    """
    size = {"width": reader.info.width, "height": reader.info.height}
    label_map = None if first_mask is None else _load(first_mask, **size)
    prompts = check_prompts(first_prompts, **size)
    later = LaterMasks(later_masks, **size)
    of_first = later.take(reader.first)
    if of_first is not None:
        if label_map is not None:
            raise AnnotationError(f"frame {reader.first.index}, the first, has two masks; give one")
        label_map = of_first
    if label_map is None and not prompts and not allow_empty:
        what = "give a mask, box or point" + (f", or start at frame {later.left[0]}" if later.left else "")
        raise AnnotationError(f"no object is given in frame {reader.first.index}, the first: {what}")
    if label_map is not None and (both := sorted({each.object_id for each in prompts} & set(ids_in(label_map)))):
        raise AnnotationError(f"object {both[0]}: has a mask and a box or points; give one of them, or another id")
    return Given(label_map, prompts, later)


def _load(first_mask: FirstMask, *, width: int, height: int) -> LabelMap:
    """One label map of the video's size, whatever the masks were given as."""
    if isinstance(first_mask, np.ndarray):
        return check_label_map(first_mask, width=width, height=height)
    sources = [first_mask] if isinstance(first_mask, (str, Path)) else list(first_mask)
    return load_first_masks(sources, width=width, height=height)

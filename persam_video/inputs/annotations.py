"""Everything that a user gives of a video's objects, read and checked: masks, boxes and points of the first frame, and
masks of later frames. Without torch, so that errors are reported before a model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from persam_video.errors import AnnotationError
from persam_video.files.json_file import shortened
from persam_video.frame import LabelMap, ids_in
from persam_video.inputs.coco import CocoAnnotations, read_coco
from persam_video.inputs.first_mask import MaskSource, load_masks
from persam_video.inputs.later_masks import LaterMasks, MasksByFrame, frames_and_masks
from persam_video.inputs.names import check_names, name_fault
from persam_video.inputs.prompts import ObjectPrompt, check_prompts, read_prompts
from persam_video.messages import parameter
from persam_video.video.reader import VideoReader

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Annotations:
    """Annotations of a video, checked as far as that needs no model.

    Args:
        label_map: masks of the first frame, uint8, H×W; None: it has none.
        prompts: boxes and points of the first frame, of objects that have no mask there.
        later: masks of the frames after it.
        names: of the objects by id, where they are known: those that were given, or else the categories of a COCO file.
    """

    label_map: LabelMap | None
    prompts: tuple[ObjectPrompt, ...]
    later: LaterMasks
    names: Mapping[int, str] = field(default_factory=dict)


def read_annotations(
    reader: VideoReader,
    *,
    first_mask: MaskSource | None = None,
    first_prompts: Iterable[ObjectPrompt | str | Path] | str | Path = (),
    first_coco: str | Path | None = None,
    coco_image: str | int | None = None,
    later_masks: MasksByFrame = (),
    names: Mapping[int, str] | str | Path | None = None,
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
    if coco_image is not None and first_coco is None:
        raise AnnotationError(
            f"{parameter('coco_image')}: give {parameter('first_coco')} as well, the file of the image"
        )
    given_names = check_names(names)
    first, info = reader.first, reader.info
    label_map = None
    if first_mask is not None:
        label_map = load_masks(
            first_mask,
            width=info.width,
            height=info.height,
            pixel_aspect=info.pixel_aspect,
            index=first.index,
            frame_name=first.name,
            frame_count=info.frame_count,
        )
    given = _read_prompts(first_prompts)
    if first_coco is not None:
        coco = _read_coco(reader, first_coco, coco_image)
        label_map = coco.label_map if coco.label_map.any() else None
        given = (*given, *coco.prompts)
        given_names = {**_usable(coco.names, first_coco), **given_names}
    prompts = check_prompts(given, width=info.width, height=info.height)
    later = LaterMasks(
        _by_number(reader, later_masks), width=info.width, height=info.height, pixel_aspect=info.pixel_aspect
    )
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
    return Annotations(label_map, prompts, later, given_names)


def _usable(categories: Mapping[int, str], path: str | Path) -> dict[int, str]:
    """Categories of a COCO file that can be names."""
    faults = {i: fault for i, name in categories.items() if (fault := name_fault(name))}
    for object_id, fault in faults.items():
        logger.warning(f"{path}: object {object_id} stays without a name, as its category {fault}")
    return check_names({i: name for i, name in categories.items() if i not in faults})


def _by_number(reader: VideoReader, masks: MasksByFrame) -> list[tuple[int, MaskSource]]:
    """Masks by frame number, which is looked up where a frame is named."""
    numbered = []
    for frame, mask in frames_and_masks(masks):
        number = reader.index_of(frame) if isinstance(frame, str) else frame
        if number is None:
            what = mask if isinstance(mask, (str, PathLike)) else f"the mask of frame {shortened(frame)}"
            raise AnnotationError(f"{what}: is not named by its frame; name it like {reader.first.name}.png")
        if isinstance(frame, int) and (name := reader.name_of(frame)) and name.isdecimal() and int(name) != frame:
            logger.warning(f"the mask of frame {frame} is taken for that of {name}, as frames are counted from 0")
        numbered.append((number, mask))
    return numbered


def _read_prompts(prompts: Iterable[ObjectPrompt | str | Path] | str | Path) -> tuple[ObjectPrompt, ...]:
    """Prompts, some of which may be files of them."""
    if isinstance(prompts, (str, PathLike)):
        return read_prompts(prompts)
    if isinstance(prompts, (ObjectPrompt, Mapping)) or not isinstance(prompts, Iterable):
        kind = type(prompts).__name__
        raise AnnotationError(
            f"{parameter('first_prompts')} is of the type {kind}; give a list of ObjectPrompt, or a file"
        )
    return tuple(
        prompt for each in prompts for prompt in (read_prompts(each) if isinstance(each, (str, PathLike)) else [each])
    )


def _read_coco(reader: VideoReader, path: str | Path, image: str | int | None) -> CocoAnnotations:
    first, info = reader.first, reader.info
    return read_coco(
        path,
        first.name,
        width=info.width,
        height=info.height,
        image=image,
        frame_index=first.index,
        video_name=info.path.name if info.is_images else info.path.stem,
        frame_count=reader.total,
        is_named=info.is_images,
    )

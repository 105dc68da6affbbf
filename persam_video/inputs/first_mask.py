"""Masks of a frame, from files, as one checked label map."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from fractions import Fraction
from io import IOBase
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from persam_video.errors import AnnotationError, PersamError
from persam_video.files.json_file import shortened
from persam_video.frame import IGNORE_ID, MAX_OBJECT_ID, LabelMap
from persam_video.inputs.mask_array import is_list_of_masks, values_of_array
from persam_video.inputs.mask_file import read_values, values_of_image
from persam_video.inputs.mask_folder import masks_of_frame
from persam_video.inputs.mask_size import VideoSize
from persam_video.inputs.pixel_values import Origin, PixelValues, Values, distinct
from persam_video.inputs.soft_edges import refuse_soft_edges
from persam_video.inputs.void import settle_void
from persam_video.messages import one_line, pluralize

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

MaskSource: TypeAlias = (
    "str | PathLike[str] | npt.NDArray[Any] | PilImage.Image | torch.Tensor | Iterable[Any] | Mapping[int, Any]"
)
"""What the masks of a frame are taken from: a file or folder; a label map or mask in memory (`check_label_map`);
several files or masks of one object each; or these by object id."""


def load_first_masks(
    sources: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    width: int,
    height: int,
    pixel_aspect: Fraction | float | None = None,
    index: int = 0,
    frame_name: str | None = None,
    frame_count: int | None = None,
) -> LabelMap:
    """Label map of a frame from its mask files.

    Pixel values are object ids: 0 background, 1 to 254 objects, 255 ignore. An image with no other values than
    0 and 255 is one object, id 1, as in DAVIS-2016. Grey values that are spread up to 255, as 127 and 255, become ids
    1, 2, …, and other areas of 255 than rims along objects are refused in a grey image. An RGB image is read if it is
    grey, if all its colours are of DAVIS' or VOC's palette, or if it has flat colours on black: these become ids
    1, 2, ... by ascending (red, green, blue), and a warning is logged with the id of each colour. Of an image whose
    pixels are either opaque or transparent, the opaque ones are object 1, or have the ids of their flat colours.

    Args:
        sources: one image file; or one folder, with one image file a frame, of which that of the frame is
            read, or one an object (`masks_of_frame`); or several image files of one object each (0 = background,
            one other value), which become ids 1, 2, ... in this order. Where two of these overlap, the later one wins,
            and a warning is logged.
        width: of the video, pixels.
        height: of the video, pixels.
        pixel_aspect: width of the video's pixels by their height; a mask of the size in which it is shown fits.
        index: of the frame in its video, by which its file in a folder is found.
        frame_name: `Frame.name`, by which it is found before that; None: unknown.
        frame_count: of the video; it helps to tell a folder of frames from one of objects.

    Returns:
        Label map, uint8, height×width; 0 = background, 1 to 254 = object ids, 255 = ignore.

    Raises:
        AnnotationError: a file cannot be read, has other pixel values than these, has soft (anti-aliased) edges,
            holds no object, or has not the aspect ratio of the video.
    """
    if isinstance(sources, (str, bytes, PathLike)) or not isinstance(sources, Iterable):
        sources = [sources]
    paths = [_path_of(source) for source in sources]
    if not paths:
        raise AnnotationError("no mask was given: it must be one or several image files, or a folder of masks")
    video = VideoSize(width, height, pixel_aspect)
    if len(paths) == 1 and paths[0].is_dir():
        paths = masks_of_frame(
            paths[0],
            index=index,
            frame_name=frame_name,
            frame_count=frame_count,
            max_pixels=video.max_mask_pixels,
        )
    if len(paths) == 1:
        return _checked(read_values(paths[0], video), str(paths[0]), video)
    return _merged({i: (path, str(path)) for i, path in enumerate(paths, start=1)}, video)


def check_label_map(
    label_map: MaskSource,
    *,
    width: int,
    height: int,
    name: str = "the first mask",
    pixel_aspect: Fraction | float | None = None,
    origin: Origin = "array",
) -> LabelMap:
    """Checked copy of a frame's label map in memory, resized to the video's size if it has only the aspect ratio.

    A map with no other values than 0 and 255 (or 0 and 65535) is one object, id 1. Values that are spread up to 255,
    as 127 and 255, become ids 1, 2, …; of other areas of 255 than rims along objects a warning is logged. A map of
    another size is resized by nearest neighbour, with a logged warning, if its aspect ratio is the video's: scaled to
    the video's width or height, its other side differs by at most 1.5 pixels (of the coarser of the two).

    Args:
        label_map: bool (True = object 1) or whole numbers, H×W, 1×H×W, H×W×1 or H×W×3 of equal channels; 0
            background, 1 to 254 object ids, 255 ignore. Or a stack of masks of one object each, N×H×W, or a list of
            masks, which become ids 1 to N; or a mapping of ids to masks. Arrays, torch tensors, Pillow images and
            nested lists will do; in lists and mappings of masks, files too.
        width: of the video, pixels.
        height: of the video, pixels.
        name: of the map in messages, usually its path.
        pixel_aspect: width of the video's pixels by their height; a map of the size in which it is shown fits.
        origin: of an array's values, which decides what 255 is (`settle_void`).

    Returns:
        A new label map, uint8, height×width.

    Raises:
        AnnotationError: wrong type, shape, values or aspect ratio; soft (anti-aliased) edges; no object; or an object
            without a pixel after resizing, or covered by later ones.
    """
    video = VideoSize(width, height, pixel_aspect)
    if is_list_of_masks(label_map) and len(label_map) == 1 and not _is_path(label_map[0]):
        label_map = label_map[0]
    if isinstance(label_map, Mapping):
        if not label_map:
            raise AnnotationError(f"{name} holds no object: it is an empty mapping")
        by_id = {_object_id(key, name): mask for key, mask in label_map.items()}
    elif is_list_of_masks(label_map):
        by_id = dict(enumerate(label_map, start=1))
    else:
        found = _values(label_map, name, video, origin)
        if found.values.ndim == 2:
            return _checked(found, name, video)
        by_id = dict(enumerate(found.values, start=1))
    return _merged({i: (mask, f"object {i} of {name}") for i, mask in by_id.items()}, video)


def load_masks(
    source: MaskSource,
    *,
    width: int,
    height: int,
    name: str = "the first mask",
    pixel_aspect: Fraction | float | None = None,
    index: int = 0,
    frame_name: str | None = None,
    frame_count: int | None = None,
) -> LabelMap:
    """Label map of a frame from files or from memory: `load_first_masks` or `check_label_map`."""
    if isinstance(source, Iterable) and not _is_whole(source):
        source = list(source)  # of a generator
    if _is_path(source) or (isinstance(source, (list, tuple)) and all(map(_is_path, source))):
        return load_first_masks(
            source,
            width=width,
            height=height,
            pixel_aspect=pixel_aspect,
            index=index,
            frame_name=frame_name,
            frame_count=frame_count,
        )
    return check_label_map(source, width=width, height=height, name=name, pixel_aspect=pixel_aspect)


def _is_path(value: object) -> TypeGuard[str | PathLike[str]]:
    return isinstance(value, (str, PathLike))


def _is_whole(value: object) -> bool:
    """Whether a value is used as it is, not as an iterable of masks that may be consumed."""
    kinds = (str, bytes, bytearray, memoryview, PathLike, Mapping, list, tuple, IOBase, PilImage.Image)
    return isinstance(value, kinds) or hasattr(value, "__array__")


def _path_of(source: object) -> Path:
    if not _is_path(source):
        raise AnnotationError(f"a mask is of the type {type(source).__name__}; give names of image files")
    if not str(source):
        raise AnnotationError("the name of a mask is empty; give an image file, or a folder of masks")
    return Path(source)


def _object_id(key: object, name: str) -> int:
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool) and 1 <= key <= MAX_OBJECT_ID:
        return int(key)
    raise AnnotationError(f"{name} has the key {shortened(key)}; object ids must be whole numbers 1 to {MAX_OBJECT_ID}")


def _values(mask: MaskSource, name: str, video: VideoSize, origin: Origin = "array") -> PixelValues:
    """Pixel values of a mask in memory, H×W; or N×H×W of a stack of masks."""
    if not isinstance(mask, PilImage.Image):
        return PixelValues(values_of_array(mask, name, video), origin)
    try:
        return values_of_image(mask, name, video)
    except PersamError:
        raise
    except Exception as error:  # Pillow's decoders raise all kinds of exceptions for damaged files
        raise AnnotationError(f"{name} cannot be decoded ({one_line(error)}); give a complete image") from error


def _checked(found: PixelValues, name: str, video: VideoSize) -> LabelMap:
    """Label map of pixel values, uint8, in the video's size."""
    ids = _as_ids(found.values, name)
    refuse_soft_edges(ids, name)
    return video.resized(settle_void(ids, origin=found.origin, name=name), name)


def _merged(masks: Mapping[int, tuple[MaskSource, str]], video: VideoSize) -> LabelMap:
    """Label map of masks of one object each, by object id, with names; a later mask covers those before it."""
    if len(masks) > MAX_OBJECT_ID:
        raise AnnotationError(f"{len(masks)} masks were given: {MAX_OBJECT_ID} objects at most can be tracked")
    label_map = np.zeros((video.height, video.width), np.uint8)
    for object_id, (source, name) in masks.items():
        mask = _mask_of_object(source, name, video) != 0
        covered = np.bincount(label_map[mask], minlength=1)
        for other in np.flatnonzero(covered[1:]) + 1:
            logger.warning(
                f"{masks[int(other)][1]} and {name} overlap in {pluralize(int(covered[other]), 'pixel')}: {name}, the "
                "later one, has them"
            )
        label_map[mask] = object_id
    for object_id, (_, name) in masks.items():
        if not np.any(label_map == object_id):
            raise AnnotationError(f"{name} has no pixel left: the masks given after it cover its object entirely")
    return label_map


def _mask_of_object(mask: MaskSource, name: str, video: VideoSize) -> LabelMap:
    """Mask of one object, 0 and 1, uint8, in the video's size."""
    if _is_path(mask):
        path = _path_of(mask)
        if path.is_dir():
            raise AnnotationError(
                f"{path} is a folder; give either one folder, or several image files of one object each"
            )
        values = read_values(path, video).values
    else:
        values = _values(mask, name, video).values
    if values.ndim != 2:
        raise AnnotationError(f"{name} has the shape {values.shape}; a mask of one object must be height×width")
    found = distinct(values)
    if found == [0]:
        raise AnnotationError(f"{name} holds no object: all its pixels are 0, the background")
    if (len(found) != 2 or found[0] != 0) and not (values.dtype == np.bool_ and found == [1]):
        if found[0] >= 0 and found[-1] <= 255:
            refuse_soft_edges(values.astype(np.uint8), name)
        some = ", ".join(str(value) for value in found[:6]) + (", ..." if len(found) > 6 else "")
        raise AnnotationError(
            f"{name} has the pixel values {some}; where several masks are given, each must be of one object: "
            "0 = background and one other value"
        )
    return _checked(PixelValues(values != 0, "settled"), name, video)


def _as_ids(values: Values, name: str) -> LabelMap:
    """Object ids, a new array, uint8, H×W, of pixel values.

    Raises:
        AnnotationError: a value is not an object id, or there is no object.
    """
    found = distinct(values)
    if found in ([0, 255], [0, 65535]):
        return np.array(values != 0, dtype=np.uint8)
    if found[0] < 0 or found[-1] > IGNORE_ID:
        wrong = found[0] if found[0] < 0 else found[-1]
        raise AnnotationError(
            f"{name} has the pixel value {wrong}, which is not an object id; "
            f"they are 1 to {MAX_OBJECT_ID}, 0 is the background and {IGNORE_ID} is ignored"
        )
    if set(found) <= {0, IGNORE_ID}:
        only = "0, the background" if found[0] == 0 else f"{IGNORE_ID}, which is ignored"
        raise AnnotationError(f"{name} holds no object: all its pixels are {only}")
    return values.astype(np.uint8)

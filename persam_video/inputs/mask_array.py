"""Pixel values of masks in memory, of the shapes and types that Python code has them in."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from persam_video.arrays import as_array
from persam_video.errors import AnnotationError
from persam_video.inputs.mask_size import VideoSize
from persam_video.inputs.pixel_values import Values

_WANTED = (
    "a mask must be an array, a torch tensor or a Pillow image, height×width, several of these of one object each, or "
    "a mapping of object ids to them"
)


def is_list_of_masks(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a list of masks, not of the numbers of one."""
    return isinstance(value, (list, tuple)) and any(
        isinstance(each, (str, PathLike, PilImage.Image)) or getattr(each, "ndim", 0) >= 2 for each in value
    )


def values_of_array(value: object, name: str, video: VideoSize) -> Values:
    """Pixel values, H×W, of a label map or mask; or N×H×W of a stack of masks.

    Args:
        value: array, torch tensor or nested lists: H×W, 1×H×W, H×W×1, H×W×3 or 3×H×W of equal channels (as image
            files are read), or N×H×W, also N×1×H×W; bool or whole numbers of any type.
        name: of the mask in messages.
        video: size of the video, which tells a stack of masks from an image of three channels.

    Raises:
        AnnotationError: it is none of these.
    """
    array = as_array(value)
    if array is None:
        advice = "read it with load_first_masks; " if isinstance(value, (str, PathLike)) else ""
        raise AnnotationError(f"{name} is of the type {type(value).__name__}; {advice}{_WANTED}")
    return _whole(_flat(array, name, (video.height, video.width)), name)


def _flat(array: npt.NDArray[Any], name: str, size: tuple[int, int]) -> npt.NDArray[Any]:
    """Array without axes of one and without channels: H×W or N×H×W."""
    shape = array.shape
    while array.ndim > 3 and 1 in array.shape[:2]:
        array = array[0] if array.shape[0] == 1 else array[:, 0]
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    elif array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[1:] != size and array.shape[2] in (3, 4):
        return _grey(array, name)
    if array.ndim == 3 and array.shape[0] == 3 and (array == array[:1]).all():  # torch's order of a grey image's axes
        return np.asarray(array[0])
    is_last = array.ndim == 3 and array.shape[:2] == size != array.shape[1:]  # the masks are one beside another
    if array.ndim not in (2, 3) or array.size == 0 or is_last:
        raise AnnotationError(
            f"{name} has the shape {shape}; a label map must be height×width, and masks of one object each "
            "number×height×width"
        )
    return array


def _grey(image: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Values of an image of three equal channels, or four with an opaque alpha, H×W."""
    if image.shape[2] == 4 and not (image[..., 3] == 255).all():
        raise AnnotationError(f"{name} is an image with transparent parts; give its alpha: mask[..., 3] > 0")
    if not (image[..., :3] == image[..., :1]).all():
        raise AnnotationError(
            f"{name} has the shape {image.shape} and is coloured; a label map must be height×width, of object ids"
        )
    return np.asarray(image[..., 0])


def _whole(array: npt.NDArray[Any], name: str) -> Values:
    """Array of bool or an integer type; floats must be whole numbers."""
    if array.dtype.kind in "biu":
        return array
    if array.dtype.kind != "f":
        raise AnnotationError(f"{name} is of type {array.dtype}; a label map must be bool or of an integer type")
    wrong = array[~(np.abs(array) < 1e6) | (array != np.rint(array))]
    if wrong.size:
        raise AnnotationError(
            f"{name} is of type {array.dtype} and has values such as {wrong[0]:g}, which are no object ids; threshold "
            "it, as mask > 0.5, or give integers"
        )
    return array.astype(np.int64)

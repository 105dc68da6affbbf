"""Images and masks in memory, of the kinds that Python code has them in: numpy, Pillow, torch, nested lists."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps

from persam_video.errors import InputError, PersamError
from persam_video.frame import Frame, Image
from persam_video.messages import one_line

if TYPE_CHECKING:
    import torch

ImageSource: TypeAlias = "npt.NDArray[Any] | PIL.Image.Image | torch.Tensor | Sequence[Any]"
"""What an image is taken from (`to_image`)."""

_IMAGE = "an image must be RGB, uint8, height×width×3"


def as_array(value: object) -> npt.NDArray[Any] | None:
    """Array of numbers, of any shape, of an array, a Pillow image, a torch tensor on any device, or lists of these.

    A Pillow image keeps its pixel values: those of an indexed one are indices. None where the value is none of these,
    or lists do not make an array (paths, images of several sizes).

    Raises:
        InputError: a Pillow image cannot be decoded.
    """
    if isinstance(value, PIL.Image.Image):
        try:
            return np.array(value)
        except Exception as error:  # files are decoded late, and Pillow's decoders raise all kinds of exceptions
            raise InputError(f"a Pillow image cannot be decoded ({one_line(error)})") from error
    torch = sys.modules.get("torch")  # not imported: nothing is a tensor then
    found: npt.NDArray[Any] | None
    try:
        if torch is not None and isinstance(value, torch.Tensor):
            tensor = value.detach().cpu()
            found = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        elif isinstance(value, (list, tuple)):
            found = _stacked(value)
        else:
            found = np.asarray(value) if hasattr(value, "__array__") else None
    except (TypeError, ValueError, OverflowError, RuntimeError):  # a sparse tensor; a list that holds itself
        return None
    return found if found is not None and found.dtype.kind in "biufc" else None


def _stacked(values: Sequence[object]) -> npt.NDArray[Any] | None:
    """Array with one more axis than the values, which are lists of numbers, or one of the kinds of `as_array`."""
    if not values:
        return None
    if all(isinstance(value, (bool, int, float, np.generic, list, tuple)) for value in values):
        try:
            return np.array(values)
        except ValueError:  # lists of arrays, or of several lengths
            pass
    arrays = [as_array(value) for value in values]
    return np.stack([each for each in arrays if each is not None]) if all(a is not None for a in arrays) else None


def to_image(value: object, *, name: str, error_type: type[PersamError]) -> Image:
    """RGB image, uint8, H×W×3, contiguous, of what Python code has images in.

    Args:
        value: a Pillow image; or an array, a torch tensor or nested lists of values from 0 to 255, H×W×3, 3×H×W (as
            torch has it), H×W or H×W×1 (grey), or H×W×4 (the fourth, alpha, is dropped). An array that is an image
            already is not copied.
        name: of the image in messages, as ``frame 12``.
        error_type: raised, with a message of one line, for anything else.
    """
    if value is None:
        raise error_type(f"{name} is None: the video has ended or could not be read")
    if isinstance(value, PIL.Image.Image):
        if value.mode in ("I", "F") or ";" in value.mode:
            raise error_type(f"{name} is a Pillow image of mode {value.mode}; {_IMAGE}: scale it to 0 … 255 first")
        try:
            return np.array(PIL.ImageOps.exif_transpose(value).convert("RGB"))
        except Exception as error:  # as in `as_array`
            raise error_type(f"{name} is a Pillow image that cannot be decoded ({one_line(error)})") from error
    array = as_array(value)
    if array is None:
        raise error_type(f"{name} is of the type {type(value).__name__}; {_IMAGE} (numpy, torch or Pillow)")
    pixels = _rows_columns_channels(array)
    if pixels is None:
        raise error_type(f"{name} has the shape {array.shape}; {_IMAGE}")
    return np.ascontiguousarray(_to_uint8(pixels, name, error_type))


def to_frame(value: Frame | ImageSource, *, name: str, index: int = 0) -> Frame:
    """Frame of an image; a frame itself.

    Args:
        value: image as for `to_image`.
        name: of the image in messages.
        index: of the frame.

    Raises:
        InputError: it is no image.
    """
    if isinstance(value, Frame):
        return value
    return Frame(index=index, image=to_image(value, name=name, error_type=InputError), name=f"{index:05d}")


def _rows_columns_channels(array: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """View of an image with the axes H×W×3; None: it is none."""
    while array.ndim > 3 and array.shape[0] == 1:  # a batch of one
        array = array[0]
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.size == 0:
        return None
    if array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    channels = array.shape[2]
    if channels == 1:
        return np.broadcast_to(array, (*array.shape[:2], 3))
    return array[..., :3] if channels in (3, 4) else None


def _to_uint8(pixels: npt.NDArray[Any], name: str, error_type: type[PersamError]) -> Image:
    if pixels.dtype == np.uint8:
        return pixels
    kind = pixels.dtype.kind
    if kind in "iu" and pixels.dtype != np.uint16 and pixels.min() >= 0 and pixels.max() <= 255:  # as lists give
        return pixels.astype(np.uint8)
    if kind == "f":
        advice = "multiply it by 255 if it is from 0 to 1, round it, and convert it to uint8"
    elif kind == "b":
        advice = "a mask is no image"
    else:
        advice = "scale it to 0 … 255 and convert it to uint8"
    raise error_type(f"{name} is of the type {pixels.dtype}; {_IMAGE}: {advice}")

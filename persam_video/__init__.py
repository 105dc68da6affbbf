"""Track the objects of a video from a mask of its first frame: Segment Anything, personalised.

    from persam_video import track
    for result in track("video.mp4", first_mask="ann.png"):
        result.index, result.label_map, result.scores, result.visible

Names are imported when they are first used, so that what needs no network does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persam_video.errors import DamagedVideoError, InputError, PersamError
    from persam_video.frame import Frame, FrameResult
    from persam_video.options import ModelOptions
    from persam_video.pipeline import track
    from persam_video.sam.models import Sam, load_sam
    from persam_video.segmenter import Segmenter
    from persam_video.tracker import Tracker

__version__ = "0.1.0"

_HOMES = {
    "DamagedVideoError": "errors",
    "Frame": "frame",
    "FrameResult": "frame",
    "InputError": "errors",
    "ModelOptions": "options",
    "PersamError": "errors",
    "Sam": "sam.models",
    "Segmenter": "segmenter",
    "Tracker": "tracker",
    "load_sam": "sam.models",
    "track": "pipeline",
}

__all__ = [
    "DamagedVideoError",
    "Frame",
    "FrameResult",
    "InputError",
    "ModelOptions",
    "PersamError",
    "Sam",
    "Segmenter",
    "Tracker",
    "load_sam",
    "track",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""Track the objects of a video from masks of its first frame, by a personalised Segment Anything.

    from persam_video import track

    for result in track("video.mp4", first_mask="ann.png"):
        result.index, result.label_map, result.scores, result.visible

The names listed here are the public API. They are imported when they are first used: what needs no network does not
import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persam_video.drawing import draw_overlay
    from persam_video.errors import (
        AnnotationError,
        CheckpointError,
        DamagedVideoError,
        DeviceError,
        InputError,
        OutputError,
        PersamError,
        VideoError,
    )
    from persam_video.files.palette_png import read_palette_png, write_palette_png
    from persam_video.frame import Frame
    from persam_video.inputs.coco import read_coco
    from persam_video.inputs.first_mask import load_first_masks
    from persam_video.inputs.prompts import ObjectPrompt, read_prompts
    from persam_video.methods.saved_targets import SavedTargets, load_targets, save_targets
    from persam_video.options import ModelOptions
    from persam_video.outputs.background import BackgroundOutput, HiddenOutput
    from persam_video.outputs.base import Output
    from persam_video.outputs.coco import CocoOutput
    from persam_video.outputs.crops import CropOutput, CropVideoOutput
    from persam_video.outputs.csv_table import CsvOutput
    from persam_video.outputs.cutout import CutoutOutput, CutoutVideoOutput
    from persam_video.outputs.cvat import CvatOutput
    from persam_video.outputs.export import export, open_results
    from persam_video.outputs.images import ImageOutput
    from persam_video.outputs.label_studio import LabelStudioOutput
    from persam_video.outputs.mask_writer import MaskWriter
    from persam_video.outputs.masks import MaskOutput
    from persam_video.outputs.mots import MotsOutput
    from persam_video.outputs.overlay import OverlayOutput
    from persam_video.outputs.results import ResultsOutput
    from persam_video.outputs.yolo import YoloOutput
    from persam_video.prompt_masks import segment_prompts
    from persam_video.result import FrameResult
    from persam_video.results.reader import Results, load_results
    from persam_video.results.record import RunInfo
    from persam_video.run import open_run, track
    from persam_video.runtime.heap import keep_freed_memory
    from persam_video.sam.models import Sam, load_sam
    from persam_video.segmenter import Segmenter
    from persam_video.tracking.tracker import Tracker
    from persam_video.video.reader import VideoInfo, VideoReader, open_video
    from persam_video.video.writer import VideoWriter
    from persam_video.video_run import VideoRun

__version__ = "0.1.0"

_MODULES = {
    "drawing": ("draw_overlay",),
    "errors": (
        "AnnotationError",
        "CheckpointError",
        "DamagedVideoError",
        "DeviceError",
        "InputError",
        "OutputError",
        "PersamError",
        "VideoError",
    ),
    "files.palette_png": ("read_palette_png", "write_palette_png"),
    "frame": ("Frame",),
    "inputs.coco": ("read_coco",),
    "inputs.first_mask": ("load_first_masks",),
    "inputs.prompts": ("ObjectPrompt", "read_prompts"),
    "methods.saved_targets": ("SavedTargets", "load_targets", "save_targets"),
    "options": ("ModelOptions",),
    "outputs.background": ("BackgroundOutput", "HiddenOutput"),
    "outputs.base": ("Output",),
    "outputs.coco": ("CocoOutput",),
    "outputs.crops": ("CropOutput", "CropVideoOutput"),
    "outputs.csv_table": ("CsvOutput",),
    "outputs.cutout": ("CutoutOutput", "CutoutVideoOutput"),
    "outputs.cvat": ("CvatOutput",),
    "outputs.export": ("export", "open_results"),
    "outputs.images": ("ImageOutput",),
    "outputs.label_studio": ("LabelStudioOutput",),
    "outputs.mask_writer": ("MaskWriter",),
    "outputs.masks": ("MaskOutput",),
    "outputs.mots": ("MotsOutput",),
    "outputs.overlay": ("OverlayOutput",),
    "outputs.results": ("ResultsOutput",),
    "outputs.yolo": ("YoloOutput",),
    "prompt_masks": ("segment_prompts",),
    "result": ("FrameResult",),
    "results.reader": ("Results", "load_results"),
    "results.record": ("RunInfo",),
    "run": ("open_run", "track"),
    "runtime.heap": ("keep_freed_memory",),
    "sam.models": ("Sam", "load_sam"),
    "segmenter": ("Segmenter",),
    "tracking.tracker": ("Tracker",),
    "video.reader": ("VideoInfo", "VideoReader", "open_video"),
    "video.writer": ("VideoWriter",),
    "video_run": ("VideoRun",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [  # noqa: RUF022  (by subject)
    # tracking
    "track",
    "open_run",
    "VideoRun",
    "Tracker",
    "Frame",
    "FrameResult",
    "Segmenter",
    # models
    "ModelOptions",
    "Sam",
    "load_sam",
    "keep_freed_memory",
    # annotations
    "ObjectPrompt",
    "SavedTargets",
    "load_first_masks",
    "load_targets",
    "read_coco",
    "read_prompts",
    "save_targets",
    "segment_prompts",
    # reading and writing
    "BackgroundOutput",
    "CocoOutput",
    "CropOutput",
    "CropVideoOutput",
    "CsvOutput",
    "CutoutOutput",
    "CutoutVideoOutput",
    "CvatOutput",
    "HiddenOutput",
    "ImageOutput",
    "LabelStudioOutput",
    "MaskOutput",
    "MaskWriter",
    "MotsOutput",
    "Output",
    "OverlayOutput",
    "Results",
    "ResultsOutput",
    "RunInfo",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "YoloOutput",
    "draw_overlay",
    "export",
    "load_results",
    "open_results",
    "open_video",
    "read_palette_png",
    "write_palette_png",
    # exceptions
    "AnnotationError",
    "CheckpointError",
    "DamagedVideoError",
    "DeviceError",
    "InputError",
    "OutputError",
    "PersamError",
    "VideoError",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""All formats in which results are written, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from persam_video.errors import InputError
from persam_video.files.json_file import shortened
from persam_video.outputs.background import BACKGROUNDS, HIDINGS, BackgroundOutput, HiddenOutput
from persam_video.outputs.base import Output
from persam_video.outputs.coco import CocoOutput
from persam_video.outputs.crops import CROP_SIZE, CropOutput, CropVideoOutput
from persam_video.outputs.csv_table import CsvOutput
from persam_video.outputs.cutout import CutoutOutput, CutoutVideoOutput
from persam_video.outputs.cvat import CvatOutput
from persam_video.outputs.images import ImageOutput
from persam_video.outputs.label_studio import LabelStudioOutput
from persam_video.outputs.masks import MaskFolderOutput, MaskOutput
from persam_video.outputs.mots import MotsOutput
from persam_video.outputs.overlay import OverlayOutput
from persam_video.outputs.yolo import YoloOutput


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """What can be chosen of some formats.

    Args:
        objects: ids of the objects in cut-outs, backgrounds and crops; None: all.
        background: behind the objects: of ``BackgroundOutput``.
        hide: how objects are hidden: of ``HiddenOutput``.
        crop_size: width and height of crops, pixels.
        crop_background: whether crops keep their background.
        whole: whether masks, too, are written only when all of them are there.
    """

    objects: tuple[int, ...] | None = None
    background: str = BACKGROUNDS[0]
    hide: str = HIDINGS[0]
    crop_size: int = CROP_SIZE
    crop_background: bool = True
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """A format of results.

    Args:
        file: name of the file or folder that is written.
        make: makes its output.
        needs_images: whether it needs the video, not the masks alone.
        options: fields of `FormatOptions` that it uses.
    """

    file: str
    make: Callable[[Path, FormatOptions], Output]
    needs_images: bool = False
    options: tuple[str, ...] = ()


def _plain(output: Callable[[Path], Output]) -> Callable[[Path, FormatOptions], Output]:
    return lambda path, _: output(path)


def _masks(path: Path, options: FormatOptions) -> Output:
    return MaskFolderOutput(path) if options.whole else MaskOutput(path)


def _cutout(path: Path, options: FormatOptions) -> Output:
    if path.suffix:
        return CutoutVideoOutput(path, objects=options.objects)
    return CutoutOutput(path, objects=options.objects)


def _background(path: Path, options: FormatOptions) -> Output:
    return BackgroundOutput(path, options.background, objects=options.objects)


def _hidden(path: Path, options: FormatOptions) -> Output:
    return HiddenOutput(path, options.hide, objects=options.objects)


def _crops(path: Path, options: FormatOptions) -> Output:
    return CropOutput(path, objects=options.objects, size=options.crop_size, background=options.crop_background)


def _crop_video(path: Path, options: FormatOptions) -> Output:
    if options.objects is not None and len(options.objects) > 1:
        raise InputError("crop-video follows one object; give one id with --objects, or the format crops")
    object_id = options.objects[0] if options.objects else None
    return CropVideoOutput(path, object_id=object_id, size=options.crop_size, background=options.crop_background)


FORMATS = {
    "masks": Format("masks", _masks),
    "davis": Format("masks", _masks),
    "overlay": Format("overlay.mp4", _plain(OverlayOutput), needs_images=True),
    "coco": Format("coco.json", _plain(CocoOutput)),
    "coco-polygons": Format("coco_polygons.json", _plain(partial(CocoOutput, polygons=True))),
    "yolo": Format("yolo", _plain(YoloOutput), needs_images=True),
    "mots": Format("mots", _plain(MotsOutput)),
    "cvat": Format("cvat.xml", _plain(CvatOutput)),
    "labelstudio": Format("labelstudio", _plain(LabelStudioOutput), needs_images=True),
    "csv": Format("objects.csv", _plain(CsvOutput)),
    "images": Format("images", _plain(ImageOutput), needs_images=True),
    "cutout": Format("cutout", _cutout, True, ("objects",)),
    "cutout-mov": Format("cutout.mov", _cutout, True, ("objects",)),
    "cutout-webm": Format("cutout.webm", _cutout, True, ("objects",)),
    "background": Format("background.mp4", _background, True, ("objects", "background")),
    "hide": Format("hidden.mp4", _hidden, True, ("objects", "hide")),
    "crops": Format("crops", _crops, True, ("objects", "crop_size", "crop_background")),
    "crop-video": Format("crop.mp4", _crop_video, True, ("objects", "crop_size", "crop_background")),
}
"""Formats by name. ``davis`` is another name of ``masks``."""


def formats_of(names: str | Sequence[str]) -> list[Format]:
    """Formats of some names, each once.

    Args:
        names: a list, or one text with commas.
    Raises:
        InputError: there is no such format, or none is named.
    """
    listed = names.split(",") if isinstance(names, str) else list(names)
    chosen: dict[str, Format] = {}
    for name in listed:
        if name.strip() not in FORMATS:
            raise InputError(f"there is no format {shortened(name.strip())!r}; give some of {', '.join(FORMATS)}")
        chosen.setdefault(FORMATS[name.strip()].file, FORMATS[name.strip()])
    if not chosen:
        raise InputError(f"no format is named; give some of {', '.join(FORMATS)}")
    return list(chosen.values())

"""Time per frame of every format of results, and memory over a long video. No model is needed."""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from demo_scene import DemoScene
from make_demo_clip import write_clip
from tqdm.auto import tqdm

from persam_video.cli.common import positive
from persam_video.messages import pluralize
from persam_video.outputs.base import Output
from persam_video.outputs.export import export
from persam_video.outputs.formats import FORMATS, FormatOptions
from persam_video.outputs.results import ResultsOutput
from persam_video.results.mask_folder import MaskFolder
from persam_video.results.source import FrameRecord, ResultSource
from persam_video.runtime.heap import keep_freed_memory

_LONG = ("coco", "coco-polygons", "cvat", "csv", "results")
"""Formats of which a long video makes one file each."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `measure`, except ``--json``."""
    parser.add_argument("--frames", metavar="N", type=positive, default=60, help="of the clip; default: 60")
    parser.add_argument("--objects", metavar="N", type=positive, default=3, help="in the clip; default: 3")
    parser.add_argument(
        "--long", metavar="N", type=positive, help="also the memory over a video of N frames (the clip, repeated)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds per frame by format, as whole exports, reading included; ``read`` is reading alone."""
    keep_freed_memory()
    milliseconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = DemoScene(objects=options.objects, frames=options.frames)
        write_clip(folder, scene, masks=True)
        source = MaskFolder(folder / "masks", folder / "clip.mp4")
        for format_name in tqdm(("read", "results", *FORMATS), leave=False, disable=options.quiet):
            began = time.perf_counter()
            export(source, _outputs(format_name, folder / "out" / format_name))
            milliseconds[format_name] = 1000 * (time.perf_counter() - began) / options.frames
        memory = _memory(source, folder, options.long, quiet=options.quiet) if options.long else {}
    return {"frames": options.frames, "objects": options.objects, "milliseconds": milliseconds, "memory": memory}


def show(results: dict[str, Any]) -> None:
    """Print a table."""
    print(f"{results['frames']} frames of 854×480, {pluralize(results['objects'], 'object')}; per frame, with reading")
    for name, value in results["milliseconds"].items():
        print(f"{name:<14}{value:8.1f} ms")
    if results["memory"]:
        print(f"resident memory while {', '.join(_LONG)} are written at once")
        for frame, size in results["memory"].items():
            print(f"after frame {frame:>6}{size / 1e6:8.0f} MB")


def _outputs(name: str, folder: Path) -> list[Output]:
    if name == "read":
        return []
    if name == "results":
        return [ResultsOutput(folder / "results.jsonl")]
    return [FORMATS[name].make(folder / FORMATS[name].file, FormatOptions())]


def _memory(source: ResultSource, folder: Path, frames: int, *, quiet: bool) -> dict[int, int]:
    """Resident bytes after some numbers of frames."""
    repeated = _Repeated(source, frames)
    outputs = [output for name in _LONG for output in _outputs(name, folder / "long")]
    export(repeated, outputs, progress=not quiet)
    return repeated.memory


class _Repeated(ResultSource):
    """The results of a clip again and again, without images."""

    def __init__(self, source: ResultSource, frames: int) -> None:
        super().__init__(source.path, None, source.given_names)
        self.run = replace(source.run, video=replace(source.run.video, frame_count=frames))
        self.memory: dict[int, int] = {}
        self._source, self._frames = source, frames

    def records(self) -> Generator[FrameRecord, None, None]:
        """See `ResultSource.records`."""
        clip = list(self._source.records())
        noted = {max(1, self._frames * share // 10) for share in (1, 2, 5, 10)}
        for index in range(self._frames):
            yield replace(clip[index % len(clip)], index=index, name=f"{index:06d}", pts=index)
            if index + 1 in noted:
                gc.collect()
                self.memory[index + 1] = psutil.Process().memory_info().rss

"""Cost of tracking: time per frame by number of objects and by frame size, and memory by number of frames.

With ``--random-weights`` no checkpoint is needed; the time is the same.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
from demo_scene import DemoScene
from make_demo_clip import write_clip
from torch.profiler import ProfilerActivity, profile
from tqdm.auto import tqdm

from persam_video.cli.common import add_model_options, add_video_options, load_model, model_options, positive
from persam_video.errors import InputError
from persam_video.files.palette_png import write_palette_png
from persam_video.outputs.masks import MaskOutput
from persam_video.outputs.overlay import OverlayOutput
from persam_video.run import open_run
from persam_video.runtime.cuda_graphs import CAPTURE_AT_CALL
from persam_video.sam.models import Sam, build_network, choose_device, choose_dtype, sam_from_network
from persam_video.video.writer import VideoWriter
from persam_video.video_run import VideoRun

SIZES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}
_MEMORY_SIZES = {**SIZES, "8K": (7680, 4320)}
_OBJECTS_PER_SIZE = 3
"""Objects in the clips of different sizes."""
_LOOP = 72
"""Frames of the scene that is repeated in a long clip."""
_STAGES = ("read", "encode", "track", "write")
_FRAME_RATE = Fraction(24)
_PROFILED = 12
"""Frames in which a GPU is profiled: few, as a frame has a thousand kernels, each of which takes time to record."""


def add_cost_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `measure_cost`, except ``--json``."""
    default = [1, 2, 4, 8, 16, 32]
    parser.add_argument("--objects", metavar="N", type=positive, nargs="+", default=default, help="default: 1 to 32")
    parser.add_argument(
        "--resolutions", choices=tuple(SIZES), nargs="+", default=list(SIZES), help="default: 480p to 4K"
    )
    parser.add_argument("--frames", metavar="N", type=positive, help="length of each clip; default: 20, on a GPU 164")
    parser.add_argument(
        "--plot", metavar="FILE", type=Path, help="plot both to an image file (.svg, .png); needs matplotlib"
    )
    _add_model_options(parser)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add_model_options(parser)
    add_video_options(parser)
    parser.add_argument("--random-weights", action="store_true", help="random weights instead of a checkpoint")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _load(options: argparse.Namespace) -> Sam:
    if not options.random_weights:
        return load_model(options)
    if options.checkpoint is not None:
        raise InputError("--random-weights and --checkpoint: give one of them")
    device = choose_device(options.device)
    with device:  # on a GPU, random numbers for a large model take no time
        network = build_network(options.model)
    dtype = choose_dtype(options.precision, device)
    return sam_from_network(network, model_options(options), device=device, dtype=dtype)


def measure_cost(options: argparse.Namespace) -> dict[str, Any]:
    """Mean seconds per frame, by number of objects at 480p, by resolution with three objects, and with one object that
    is as large as at 480p, in total and of each stage; on a GPU also the share of the time in which it is idle."""
    sam = _load(options)
    count, minimum = options.frames or _frames(sam), _warm_up(sam) + _tail(sam) + 1
    if count < minimum:
        raise InputError(f"--frames {count}: the first frames do not count; give {minimum} or more")
    scenes = {
        "objects": {
            str(objects): DemoScene(*SIZES["480p"], objects=objects, frames=count) for objects in options.objects
        },
        "resolutions": {
            name: DemoScene(*SIZES[name], objects=_OBJECTS_PER_SIZE, frames=count) for name in options.resolutions
        },
        "small": {
            name: DemoScene(*SIZES[name], objects=1, frames=count, toy_size=SIZES["480p"][1] / SIZES[name][1])
            for name in options.resolutions
        },
    }
    results: dict[str, Any] = {"frames": count, "objects": {}, "resolutions": {}, "small": {}}
    bar = tqdm(total=sum(map(len, scenes.values())), desc="clips", leave=False, disable=options.quiet)
    with bar, tempfile.TemporaryDirectory() as name:
        for kind, scenes_of_kind in scenes.items():
            for label, scene in scenes_of_kind.items():
                folder = Path(name) / kind / label
                write_clip(folder, scene)
                results[kind][label] = _cost_of(sam, folder, count)
                bar.update()
    if options.plot is not None:
        _plot(results, options.plot)
    return results


def _cost_of(sam: Sam, folder: Path, count: int) -> dict[str, float]:
    """Seconds per frame of a clip: "whole", from result to result, and of each stage, without the first frames (except
    "write", the mean over all frames); and "idle", the share of the time in which a GPU is idle."""
    with _open_run(sam, folder) as run:
        for _ in itertools.islice(run, _warm_up(sam)):
            started, before = time.perf_counter(), asdict(run.seconds)
        counted = 0
        for _ in itertools.islice(run, count - _warm_up(sam) - _tail(sam)):
            counted, ended, after = counted + 1, time.perf_counter(), asdict(run.seconds)
        costs = {"whole": (ended - started) / counted}
        costs |= {name: (seconds - before[name]) / counted for name, seconds in after.items()}
        if sam.device.type == "cuda":  # last, as profiling takes time
            costs["idle"] = 1 - busy_share(itertools.islice(run, _PROFILED), ProfilerActivity.CUDA)
        for _ in run:
            pass  # until everything is written
    costs["write"] = run.seconds.write / count
    return costs


def _warm_up(sam: Sam) -> int:
    """Number of first frames that are not measured: the one in which objects are personalised, those encoded meanwhile,
    and on a GPU those before the CUDA graphs are captured."""
    return 3 if sam.device.type == "cpu" else CAPTURE_AT_CALL * sam.batch + 8


def _tail(sam: Sam) -> int:
    """Number of last frames that are not measured on a GPU: those that are profiled, and those during which no more are
    left to be encoded."""
    return 0 if sam.device.type == "cpu" else _PROFILED + 2 * sam.batch + 4


def _frames(sam: Sam) -> int:
    """Default length of a clip: enough that the few frames encoded ahead of the tracker do not matter."""
    return 20 if sam.device.type == "cpu" else _warm_up(sam) + 100 + _tail(sam)


def _open_run(sam: Sam, folder: Path) -> VideoRun:
    """Run on the clip of a folder that writes masks and an overlay there, as `persam-track` does."""
    return open_run(
        folder / "clip.mp4",
        folder / "first_mask.png",
        outputs=[MaskOutput(folder / "masks"), OverlayOutput(folder / "overlay.mp4")],
        overwrite=True,
        sam=sam,
    )


def busy_share(work: Iterable[object], device: ProfilerActivity) -> float:
    """Share of the time, 0 to 1, in which a kind of device is busy while ``work`` is iterated over."""
    with profile(activities=[device]) as profiler:
        started = ended = time.perf_counter()
        for _ in work:
            ended = time.perf_counter()  # not at the end of the loop, when the outputs are written
        seconds = ended - started
    spans = sorted(
        (each.time_range.start, each.time_range.end)
        for each in profiler.events()
        if each.device_type.name == device.name
    )
    busy = until = 0.0  # microseconds; spans may overlap
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy / 1e6 / seconds


def show_cost(results: dict[str, Any]) -> None:
    """Print the results."""
    titles = {"objects": "objects, 480p", "resolutions": f"{_OBJECTS_PER_SIZE} objects", "small": "1 small object"}
    for kind, title in titles.items():
        columns = ["per frame", *_STAGES, "frames/s"]
        if any("idle" in each for each in results[kind].values()):
            columns.append("GPU idle")
        print(f"{title:<14} " + " ".join(f"{name:>10}" for name in columns))
        for label, each in results[kind].items():
            parts = " ".join(f"{1000 * each[name]:>7.1f} ms" for name in ("whole", *_STAGES))
            idle = f" {each['idle']:>10.0%}" if "idle" in each else ""
            print(f"{label:<14} {parts} {1 / each['whole']:>10.2f}{idle}")


def _plot(results: dict[str, Any], path: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        raise InputError("--plot needs matplotlib, which is not installed: pip install matplotlib") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    counts = [int(label) for label in results["objects"]]
    left.plot(counts, [1000 * row["whole"] for row in results["objects"].values()], "o-", color="#3182bd", markersize=4)
    left.set(xlabel="objects", ylabel="milliseconds per frame", title="480p", ylim=(0, None), xlim=(0, None))
    sizes = results["resolutions"]
    right.bar(list(sizes), [1000 * row["whole"] for row in sizes.values()], color="#9ecae1")
    right.set(xlabel="frame size", title=f"{_OBJECTS_PER_SIZE} objects")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def add_memory_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `measure_memory`, except ``--json``."""
    default = [100, 1000, 10000]
    parser.add_argument(
        "--frames", metavar="N", type=positive, nargs="+", default=default, help="default: 100 to 10000"
    )
    parser.add_argument("--objects", metavar="N", type=positive, default=3, help="default: 3")
    parser.add_argument("--resolution", choices=tuple(_MEMORY_SIZES), default="480p", help="default: 480p")
    _add_model_options(parser)


def measure_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of this process, bytes, after some numbers of frames of one clip, and at most, with masks and
    overlay written."""
    sam = _load(options)
    process = psutil.Process()
    last = max(options.frames)
    resident: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writers:  # whose memory does not count
            writers.submit(_write_long_clip, folder, options.resolution, options.objects, last).result()
        with _MemoryPeak(process) as peak, _open_run(sam, folder) as run:
            for count, _ in enumerate(tqdm(run, "frames", last, leave=False, disable=options.quiet), start=1):
                if count in options.frames:
                    resident[str(count)] = process.memory_info().rss
    return {
        "objects": options.objects,
        "resolution": options.resolution,
        "resident bytes after frames": resident,
        "resident bytes at most": peak.bytes,
    }


class _MemoryPeak:
    """The most resident memory of a process in a block: ``bytes``."""

    def __init__(self, process: psutil.Process) -> None:
        self.bytes = 0
        self._process, self._ended = process, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.bytes = max(self.bytes, self._process.memory_info().rss)

    def __enter__(self) -> _MemoryPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def _write_long_clip(folder: Path, resolution: str, objects: int, frames: int) -> None:
    """Write a clip that repeats a scene, which ends as it begins."""
    scene = DemoScene(*_MEMORY_SIZES[resolution], objects=objects, frames=min(frames, _LOOP))
    write_palette_png(folder / "first_mask.png", scene.label_map(0))
    images = [scene.render(index)[0] for index in range(len(scene))]
    with VideoWriter(
        folder / "clip.mp4",
        width=scene.width,
        height=scene.height,
        time_base=1 / _FRAME_RATE,
        frame_rate=_FRAME_RATE,
    ) as writer:
        for index in range(frames):
            writer.write(images[index % len(images)], index)


def show_memory(results: dict[str, Any]) -> None:
    """Print the results."""
    resident = results["resident bytes after frames"]
    for count, size in resident.items():
        print(f"after {count:>6} frames {size / 1e6:>8.1f} MB")
    sizes = list(resident.values())
    print(f"growth {(sizes[-1] - sizes[0]) / 1e6:.1f} MB, at most {results['resident bytes at most'] / 1e6:.1f} MB")

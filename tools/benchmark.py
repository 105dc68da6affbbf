"""Measure this package against a plain way to do the same.

    python tools/benchmark.py track [--objects 1 5] [--frames 60] [--repeat 5] [--json FILE]
    python tools/benchmark.py encoder [--model vit_t] [--compile] [--repeat 7] [--json FILE]
    python tools/benchmark.py cost [--objects 1 2 …] [--resolutions 480p …] [--plot FILE] [--json FILE]
    python tools/benchmark.py memory [--frames 100 1000 10000] [--json FILE]
    python tools/benchmark.py metrics --davis ROOT --results DIR [--sequences NAME …] [--repeat 5] [--json FILE]

``track``: `persam-track` as a whole program against a loop over `segment_anything.SamPredictor` (`plain_tracker.py`).

``encoder``: the image encoder by itself, beside SAM's as it comes, other runtimes, and the device's matrix products.

``cost``: seconds a frame with more objects and larger frames. ``memory``: of a long clip.

``metrics``: the evaluation of a method's masks, from the files to the figures of every object, by
`persam_video.evaluation.davis.scoring.evaluate` and by `plain_metrics.evaluate_plainly`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import benchmark_cost
import benchmark_encoder
import benchmark_tracking
import cv2
import numpy as np
import PIL
import torch
from plain_metrics import Metrics, evaluate_plainly
from tqdm import tqdm

from persam_video.cli.common import Parser, positive, run
from persam_video.cli.davis import add_dataset_options, dataset_of
from persam_video.errors import InputError
from persam_video.evaluation.davis.dataset import DavisSequence
from persam_video.evaluation.davis.scoring import ObjectScores, all_objects, evaluate
from persam_video.evaluation.environment import processor_name
from persam_video.files.atomic import write_atomic
from persam_video.messages import pluralize

PROGRAM = "benchmark.py"
ALLOWED_DIFFERENCE = 1e-6
EXIT_DIFFERENT = 1

T = TypeVar("T")
Measure = Callable[[argparse.Namespace], dict[str, Any]]
Show = Callable[[dict[str, Any]], None]

_TRACKING: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Measure, Show]] = {
    "track": (
        "tracking a video: whole programs",
        benchmark_tracking.add_options,
        benchmark_tracking.measure,
        benchmark_tracking.show,
    ),
    "encoder": (
        "the image encoder by itself",
        benchmark_encoder.add_options,
        benchmark_encoder.measure,
        benchmark_encoder.show,
    ),
    "cost": (
        "more objects, larger frames",
        benchmark_cost.add_cost_options,
        benchmark_cost.measure_cost,
        benchmark_cost.show_cost,
    ),
    "memory": (
        "a long clip",
        benchmark_cost.add_memory_options,
        benchmark_cost.measure_memory,
        benchmark_cost.show_memory,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. Returns the exit code: 0, 1 if the figures differ, 2 for input that cannot be used."""
    options = _parser().parse_args(arguments)
    return run(PROGRAM, lambda: int(options.command(options)))


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="Measure this package against a plain way to do the same.")
    commands = parser.add_subparsers(required=True, metavar="track|encoder|cost|memory|metrics")
    for name, (what, add_options, measure, show) in _TRACKING.items():
        each = commands.add_parser(name, help=what)
        each.set_defaults(command=partial(_run, measure, show))
        add_options(each)
        each.add_argument("--json", metavar="FILE", type=Path, help="write all figures")
    metrics = commands.add_parser("metrics", help="J and F of masks: how fast, and whether the figures are the same")
    metrics.set_defaults(command=_metrics)
    add_dataset_options(metrics)
    metrics.add_argument("--results", metavar="DIR", type=Path, required=True, help="masks: DIR/<sequence>/<frame>.png")
    metrics.add_argument("--ignore-void", action="store_true", help="leave void pixels (255) out")
    metrics.add_argument("--repeat", metavar="N", type=positive, default=5, help="rounds; default: 5")
    metrics.add_argument("--threads", metavar="N", type=positive, help="of this package; default: one a core")
    metrics.add_argument("--json", metavar="FILE", type=Path, help="write all figures")
    return parser


def _run(measure: Measure, show: Show, options: argparse.Namespace) -> int:
    figures = {**_circumstances(), "torch_threads": torch.get_num_threads(), **measure(options)}
    print(f"{figures['processor']}; torch {torch.__version__}, {figures['torch_threads']} threads; {figures['date']}")
    show(figures)
    _write_json(figures, options)
    return 0


def _write_json(figures: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json is not None:
        write_atomic(options.json, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def _metrics(options: argparse.Namespace) -> int:
    sequences = _with_results(options)
    threads = options.threads or os.cpu_count() or 1

    def ours() -> list[ObjectScores]:
        scores = evaluate(sequences, options.results, ignore_void=options.ignore_void, threads=threads)
        return all_objects(scores)

    def plainly() -> dict[tuple[str, int], Metrics]:
        return evaluate_plainly(sequences, options.results, ignore_void=options.ignore_void)

    objects = ours()  # before anything is measured: says what is wrong with the masks, and fills the file cache
    frames = {each.name: len(each.annotations) - 2 for each in sequences}
    amounts = {"frames": sum(frames.values()), "objects·frames": sum(frames[one.sequence] for one in objects)}
    seconds: dict[str, list[float]] = {"plain": [], "persam_video": []}
    for _ in tqdm(range(options.repeat), "rounds", leave=False):
        plain = _timed(plainly, seconds["plain"])
        objects = _timed(ours, seconds["persam_video"])
    ratios = [slow / fast for slow, fast in zip(seconds["plain"], seconds["persam_video"], strict=True)]
    difference = max(_difference(plain[one.sequence, one.object_id], one) for one in objects)
    figures = {
        **_circumstances(),
        "sequences": list(frames),
        "objects": len(objects),
        **amounts,
        "ignore_void": options.ignore_void,
        "rounds": options.repeat,
        "opencv_threads_plain": cv2.getNumThreads(),
        "threads_persam_video": threads,
        "seconds": seconds,
        "rates": {name: _rates(each, amounts) for name, each in seconds.items()},
        "ratio": {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
        "largest_difference": difference,
    }
    _print(figures)
    _write_json(figures, options)
    if difference <= ALLOWED_DIFFERENCE:
        return 0
    print(f"{PROGRAM}: the figures differ by {difference:.2g}; {ALLOWED_DIFFERENCE} is allowed", file=sys.stderr)
    return EXIT_DIFFERENT


def _with_results(options: argparse.Namespace) -> tuple[DavisSequence, ...]:
    """The sequences that were asked for; if none were, those that have masks."""
    dataset = dataset_of(options)
    if not options.results.is_dir():
        raise InputError(f"{options.results}: no such folder; it should hold a folder of masks for each sequence")
    if options.sequences:
        return dataset.sequences
    found = tuple(each for each in dataset.sequences if (options.results / each.name).is_dir())
    if not found:
        names = ", ".join(each.name for each in dataset.sequences[:3])
        raise InputError(f"{options.results}: holds masks of no sequence; it should hold folders such as {names}")
    return found


def _timed(work: Callable[[], T], seconds: list[float]) -> T:
    started = time.perf_counter()
    result = work()
    seconds.append(time.perf_counter() - started)
    return result


def _difference(plain: Metrics, ours: ObjectScores) -> float:
    """The largest between the figures of an object."""
    figures: Metrics = {
        f"{name}-{key}": value for name, each in (("J", ours.j), ("F", ours.f)) for key, value in asdict(each).items()
    }
    return max(abs(plain[name] - value) for name, value in figures.items())


def _rates(seconds: list[float], amounts: dict[str, int]) -> dict[str, float]:
    return {f"{name}/s": amount / statistics.median(seconds) for name, amount in amounts.items()}


def _circumstances() -> dict[str, Any]:
    versions = {
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "OpenCV": cv2.__version__,
        "Pillow": PIL.__version__,
        "torch": torch.__version__,
    }
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"date": now, "processor": processor_name(), "versions": versions}


def _print(figures: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    print(f"{figures['processor']}; {versions}; {figures['date']}")
    print(
        f"{pluralize(len(figures['sequences']), 'sequence')}, {pluralize(figures['frames'], 'frame')}, "
        f"{pluralize(figures['objects'], 'object')}; {pluralize(figures['rounds'], 'round')}, medians"
    )
    print(f"{'':<29} {'seconds':>8} {'frames/s':>9} {'objects·frames/s':>17}")
    for name, note in (
        ("plain", f"OpenCV: {pluralize(figures['opencv_threads_plain'], 'thread')}"),
        ("persam_video", pluralize(figures["threads_persam_video"], "thread")),
    ):
        rates = figures["rates"][name]
        median = statistics.median(figures["seconds"][name])
        print(f"{f'{name} ({note})':<29} {median:8.3f} {rates['frames/s']:9.1f} {rates['objects·frames/s']:17.1f}")
    ratio = figures["ratio"]
    print(f"ratio {ratio['median']:.1f} ({ratio['lowest']:.1f} to {ratio['highest']:.1f})")
    print(f"largest difference of any figure {figures['largest_difference']:.2g}; {ALLOWED_DIFFERENCE:.0e} is allowed")


if __name__ == "__main__":
    sys.exit(main())

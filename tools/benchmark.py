"""Benchmarks of this package against straightforward implementations of the same.

    python tools/benchmark.py track [--objects 1 5] [--frames 60] [--repeat 5] [--json FILE]
    python tools/benchmark.py encoder [--model vit_t] [--compile] [--repeat 7] [--json FILE]
    python tools/benchmark.py cost [--objects 1 2 …] [--resolutions 480p …] [--plot FILE] [--json FILE]
    python tools/benchmark.py memory [--frames 100 1000 10000] [--json FILE]
    python tools/benchmark.py exports [--frames 60] [--objects 3] [--long 10000] [--json FILE]
    python tools/benchmark.py metrics --davis ROOT --results DIR [--sequences NAME …] [--repeat 5] [--json FILE]

``track``: `persam-track` as a whole program against a loop over `segment_anything.SamPredictor` (`plain_tracker.py`).

``encoder``: the image encoder alone, against SAM's own, other runtimes, and the device's rate of matrix products.

``cost``: time per frame by number of objects and by frame size. ``memory``: resident memory over a long clip.

``exports``: time per frame of every format of results, and memory over a long video.

``metrics``: the evaluation of masks, from the files to J and F of every object, by
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
import benchmark_exports
import benchmark_tracking
import cv2
import numpy as np
import PIL
import torch
from plain_metrics import Metrics, evaluate_plainly
from tqdm.auto import tqdm

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

_BENCHMARKS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Measure, Show]] = {
    "track": (
        "tracking of a video by whole programs",
        benchmark_tracking.add_options,
        benchmark_tracking.measure,
        benchmark_tracking.show,
    ),
    "encoder": (
        "the image encoder alone",
        benchmark_encoder.add_options,
        benchmark_encoder.measure,
        benchmark_encoder.show,
    ),
    "cost": (
        "time per frame by number of objects and by frame size",
        benchmark_cost.add_cost_options,
        benchmark_cost.measure_cost,
        benchmark_cost.show_cost,
    ),
    "memory": (
        "resident memory over a long clip",
        benchmark_cost.add_memory_options,
        benchmark_cost.measure_memory,
        benchmark_cost.show_memory,
    ),
    "exports": (
        "time per frame of every format of results",
        benchmark_exports.add_options,
        benchmark_exports.measure,
        benchmark_exports.show,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. Returns the exit code: 0, 1 if the metrics differ, 2 for invalid input."""
    options = _parser().parse_args(arguments)
    return run(PROGRAM, lambda: int(options.command(options)))


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="Benchmark this package against straightforward implementations.")
    commands = parser.add_subparsers(required=True, metavar="track|encoder|cost|memory|exports|metrics")
    for name, (description, add_options, measure, show) in _BENCHMARKS.items():
        each = commands.add_parser(name, help=description)
        each.set_defaults(command=partial(_run, measure, show))
        add_options(each)
        each.add_argument("--json", metavar="FILE", type=Path, help="write all results")
    metrics = commands.add_parser("metrics", help="J and F of masks: speed, and equality of the results")
    metrics.set_defaults(command=_metrics)
    add_dataset_options(metrics)
    metrics.add_argument("--results", metavar="DIR", type=Path, required=True, help="masks, DIR/<sequence>/<frame>.png")
    metrics.add_argument("--ignore-void", action="store_true", help="exclude void pixels (255)")
    metrics.add_argument("--repeat", metavar="N", type=positive, default=5, help="rounds; default: 5")
    metrics.add_argument("--threads", metavar="N", type=positive, help="threads of this package; default: one per core")
    metrics.add_argument("--json", metavar="FILE", type=Path, help="write all results")
    return parser


def _run(measure: Measure, show: Show, options: argparse.Namespace) -> int:
    results = {**_environment(), "torch_threads": torch.get_num_threads(), **measure(options)}
    print(f"{results['processor']}; torch {torch.__version__}, {results['torch_threads']} threads; {results['date']}")
    show(results)
    _write_json(results, options)
    return 0


def _write_json(results: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json is not None:
        write_atomic(options.json, json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _metrics(options: argparse.Namespace) -> int:
    sequences = _with_results(options)
    threads = options.threads or os.cpu_count() or 1

    def evaluate_fast() -> list[ObjectScores]:
        scores = evaluate(sequences, options.results, ignore_void=options.ignore_void, threads=threads)
        return all_objects(scores)

    def evaluate_plain() -> dict[tuple[str, int], Metrics]:
        return evaluate_plainly(sequences, options.results, ignore_void=options.ignore_void)

    objects = evaluate_fast()  # before the measurement: raises for invalid masks, and fills the file cache
    frames = {each.name: len(each.annotations) - 2 for each in sequences}
    counts = {"frames": sum(frames.values()), "objects·frames": sum(frames[one.sequence] for one in objects)}
    seconds: dict[str, list[float]] = {"plain": [], "persam_video": []}
    for _ in tqdm(range(options.repeat), "rounds", leave=False):
        plain = _timed(evaluate_plain, seconds["plain"])
        objects = _timed(evaluate_fast, seconds["persam_video"])
    ratios = [slow / fast for slow, fast in zip(seconds["plain"], seconds["persam_video"], strict=True)]
    difference = max(_difference(plain[one.sequence, one.object_id], one) for one in objects)
    results = {
        **_environment(),
        "sequences": list(frames),
        "objects": len(objects),
        **counts,
        "ignore_void": options.ignore_void,
        "rounds": options.repeat,
        "opencv_threads_plain": cv2.getNumThreads(),
        "threads_persam_video": threads,
        "seconds": seconds,
        "rates": {name: _rates(each, counts) for name, each in seconds.items()},
        "ratio": {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
        "largest_difference": difference,
    }
    _show_metrics(results)
    _write_json(results, options)
    if difference <= ALLOWED_DIFFERENCE:
        return 0
    print(f"{PROGRAM}: the metrics differ by {difference:.2g}; {ALLOWED_DIFFERENCE} is allowed", file=sys.stderr)
    return EXIT_DIFFERENT


def _with_results(options: argparse.Namespace) -> tuple[DavisSequence, ...]:
    """The selected sequences or, without a selection, those with masks."""
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
    """Result of a function; its time is appended to ``seconds``."""
    started = time.perf_counter()
    result = work()
    seconds.append(time.perf_counter() - started)
    return result


def _difference(plain: Metrics, scores: ObjectScores) -> float:
    """Largest absolute difference between two results of an object."""
    metrics: Metrics = {
        f"{name}-{key}": value
        for name, each in (("J", scores.j), ("F", scores.f))
        for key, value in asdict(each).items()
    }
    return max(abs(plain[name] - value) for name, value in metrics.items())


def _rates(seconds: list[float], counts: dict[str, int]) -> dict[str, float]:
    return {f"{name}/s": count / statistics.median(seconds) for name, count in counts.items()}


def _environment() -> dict[str, Any]:
    versions = {
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "OpenCV": cv2.__version__,
        "Pillow": PIL.__version__,
        "torch": torch.__version__,
    }
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"date": now, "processor": processor_name(), "versions": versions}


def _show_metrics(results: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    print(f"{results['processor']}; {versions}; {results['date']}")
    print(
        f"{pluralize(len(results['sequences']), 'sequence')}, {pluralize(results['frames'], 'frame')}, "
        f"{pluralize(results['objects'], 'object')}; {pluralize(results['rounds'], 'round')}, medians"
    )
    print(f"{'':<29} {'seconds':>8} {'frames/s':>9} {'objects·frames/s':>17}")
    for name, note in (
        ("plain", f"OpenCV: {pluralize(results['opencv_threads_plain'], 'thread')}"),
        ("persam_video", pluralize(results["threads_persam_video"], "thread")),
    ):
        rates = results["rates"][name]
        median = statistics.median(results["seconds"][name])
        print(f"{f'{name} ({note})':<29} {median:8.3f} {rates['frames/s']:9.1f} {rates['objects·frames/s']:17.1f}")
    ratio = results["ratio"]
    print(f"ratio {ratio['median']:.1f} ({ratio['lowest']:.1f} to {ratio['highest']:.1f})")
    print(f"largest difference of a metric {results['largest_difference']:.2g}; {ALLOWED_DIFFERENCE:.0e} is allowed")


if __name__ == "__main__":
    sys.exit(main())

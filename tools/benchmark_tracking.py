"""Wall time of `persam-track` and of `plain_tracker.py` on demo clips, and their ratio."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from demo_scene import DemoScene
from make_demo_clip import write_clip
from plain_tracker import FIT_STEPS
from tqdm.auto import tqdm

from persam_video.cli.common import add_model_options, add_video_options, load_model, positive
from persam_video.errors import PersamError
from persam_video.frame import Frame, ids_in
from persam_video.messages import pluralize
from persam_video.methods.persam.method import PersamMethod
from persam_video.methods.persam.segmentation import PERSAM_F

_PLAIN = Path(__file__).with_name("plain_tracker.py")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `measure`, except ``--json``."""
    parser.add_argument("--objects", metavar="N", type=positive, nargs="+", default=[1, 5], help="default: 1 5")
    parser.add_argument(
        "--frames", metavar="N", type=positive, default=60, help="length of each clip, 854×480; default: 60"
    )
    parser.add_argument("--repeat", metavar="N", type=positive, default=5, help="rounds; default: 5")
    parser.add_argument(
        "--fit-steps", metavar="N", type=positive, default=FIT_STEPS, help=f"of the plain program; default: {FIT_STEPS}"
    )
    add_model_options(parser)
    add_video_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and ratios for each number of objects. Each round runs both programs one after the other."""
    results: dict[str, Any] = {"frames": options.frames, "rounds": options.repeat, "fit_steps": options.fit_steps}
    rounds = tqdm(total=options.repeat * len(options.objects), desc="rounds", leave=False, disable=options.quiet)
    with tempfile.TemporaryDirectory() as name, rounds:
        for count in options.objects:
            folder = Path(name) / str(count)
            write_clip(folder, DemoScene(objects=count, frames=options.frames))
            seconds: dict[str, list[float]] = {"plain": [], "persam-track": [], "plain fit": [], "fit": []}
            for _ in range(options.repeat):
                output, whole = _run([sys.executable, str(_PLAIN), *_plain_options(options)], folder)
                seconds["plain"].append(whole)
                seconds["plain fit"].append(json.loads(output)["fit"])
                program = [sys.executable, "-m", "persam_video.cli.track", "--quiet"]
                seconds["persam-track"].append(_run([*program, *_track_options(options)], folder)[1])
                seconds["fit"].append(_fit(options, count))
                rounds.update()
            results[pluralize(count, "object")] = {
                "seconds": seconds,
                "ratio": _ratio(seconds["plain"], seconds["persam-track"]),
                "ratio of fitting": _ratio(seconds["plain fit"], seconds["fit"]),
            }
    if len(options.objects) > 1:
        few, many = (
            results[pluralize(count, "object")]["seconds"] for count in (options.objects[0], options.objects[-1])
        )
        further = [
            (more - less) / (options.objects[-1] - options.objects[0]) / less
            for less, more in zip(few["persam-track"], many["persam-track"], strict=True)
        ]
        results["share of a further object"] = statistics.median(further)
    return results


def show(results: dict[str, Any]) -> None:
    """Print the results."""
    print(f"{results['frames']} frames of 854×480; {pluralize(results['rounds'], 'round')}, medians")
    print(f"the plain program fits the scale weights in {results['fit_steps']} steps")
    print(f"{'':<12} {'plain':>10} {'persam-track':>14} {'ratio':>8} {'plain fit':>11} {'fit':>8} {'ratio':>8}")
    for name, each in results.items():
        if isinstance(each, dict) and "seconds" in each:
            median = {key: statistics.median(values) for key, values in each["seconds"].items()}
            print(
                f"{name:<12} {median['plain']:>8.1f} s {median['persam-track']:>12.1f} s {each['ratio']:>8.1f} "
                f"{median['plain fit']:>9.1f} s {median['fit']:>6.2f} s {each['ratio of fitting']:>8.0f}"
            )
    if "share of a further object" in results:
        print(f"each further object: {100 * results['share of a further object']:.1f} % of the program's time with one")


def _plain_options(options: argparse.Namespace) -> list[str]:
    checkpoint = ["--checkpoint", str(options.checkpoint)] if options.checkpoint else []
    return ["--model", options.model, "--fit-steps", str(options.fit_steps), *checkpoint]


def _track_options(options: argparse.Namespace) -> list[str]:
    names = ("method", "model", "checkpoint", "device", "precision", "size", "window", "batch")
    values = [(name, getattr(options, name)) for name in names]
    flags = [f"--{name.replace('_', '-')}" for name in ("exact_padding", "compile") if getattr(options, name)]
    flags += [] if options.graphs else ["--no-graphs"]
    return [*(part for name, value in values if value is not None for part in (f"--{name}", str(value))), *flags]


def _run(command: list[str], folder: Path) -> tuple[str, float]:
    """Standard output and seconds of a program that tracks the clip of a folder."""
    clip, first_mask = str(folder / "clip.mp4"), str(folder / "first_mask.png")
    with tempfile.TemporaryDirectory(dir=folder) as masks:
        command = [*command, clip, "--first-mask", first_mask, "--masks", masks]
        started = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - started
    if done.returncode:
        raise PersamError(f"{' '.join(command)}: failed with exit code {done.returncode}")
    return done.stdout, seconds


def _fit(options: argparse.Namespace, count: int) -> float:
    """Seconds that `persam-f` takes to personalise all objects, without encoding the first frame."""
    sam = load_model(options)
    image, label_map = DemoScene(objects=count, frames=options.frames).render(0)
    frame, features = Frame(index=0, image=image, name="00000"), sam.encode(image)
    masks = torch.stack([torch.from_numpy(label_map == i) for i in ids_in(label_map)])
    started = time.perf_counter()
    PersamMethod(sam, PERSAM_F).add(frame, features, masks, torch.zeros(masks.shape[1:], dtype=torch.bool))
    return time.perf_counter() - started


def _ratio(slow: list[float], fast: list[float]) -> float:
    """Median of the ratios of all rounds."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))

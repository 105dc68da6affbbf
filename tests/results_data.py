"""Results of a small video with everything that label formats find hard: holes, parts, absence, names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from persam_video import FrameResult, Output, RunInfo, VideoReader, VideoWriter, open_video
from persam_video.outputs.base import OutputThreads, begin_outputs, open_outputs
from persam_video.outputs.results import ResultsOutput

WIDTH, HEIGHT, FRAMES = 160, 90, 8
NAMES = {1: "dog", 7: "cup & <saucer>"}
ABSENT = range(3, 6)  # frames without object 7
SCORES = {1: 0.75, 7: 0.5, 12: 1.0}


def label_map_of(index: int) -> np.ndarray:
    """Object 1 has a hole, 7 two parts and a single pixel, and is away for a while, 12 touches three sides."""
    label_map = np.zeros((HEIGHT, WIDTH), np.uint8)
    label_map[:, 150 - index :] = 12
    cv2.ellipse(label_map, (40 + 2 * index, 40), (28, 22), 20, 0, 360, 1, -1)
    cv2.circle(label_map, (42 + 2 * index, 38), 9, 0, -1)
    if index not in ABSENT:
        cv2.circle(label_map, (105, 30 + index), 12, 7, -1)
        cv2.rectangle(label_map, (96, 60), (124, 76), 7, -1)
        label_map[3, 90] = 7
    return label_map


def write_clip(path: Path) -> Path:
    """Video of the frames: each object has a colour."""
    colours = np.zeros((256, 3), np.uint8)
    colours[[0, 1, 7, 12]] = (60, 90, 60), (220, 60, 50), (60, 80, 230), (230, 220, 80)
    with VideoWriter(path, width=WIDTH, height=HEIGHT, time_base=Fraction(1, 24), frame_rate=Fraction(24)) as writer:
        for index in range(FRAMES):
            writer.write(colours[label_map_of(index)], index)
    return path


def results_of(reader: VideoReader) -> Iterator[FrameResult]:
    """Results of the clip; object 12 is new in frame 1."""
    for frame in reader:
        scores = {i: score for i, score in SCORES.items() if i != 12 or frame.index}
        label_map = label_map_of(frame.index)
        label_map[~np.isin(label_map, list(scores))] = 0
        yield FrameResult.of(frame, label_map, scores, NAMES)


def write(clip: Path, outputs: Sequence[Output], *, overwrite: bool = False) -> None:
    """Write the clip's results to outputs, as a run does."""
    with open_video(clip) as reader:
        open_outputs(outputs, reader.info, overwrite=overwrite)
        run = RunInfo(
            reader.info,
            hash_video=reader.content_sha256,
            settings={"method": "appearance", "model": "vit_t"},
            names=NAMES,
            version="0.1.0",
            outputs=[each.path for each in outputs],
        )
        begin_outputs(outputs, run)
        with OutputThreads(outputs) as threads:
            for result in results_of(reader):
                threads.put(result)


def write_results(folder: Path) -> Path:
    """``clip.mp4`` and the record of its results, ``results.jsonl``, which is returned."""
    path = folder / "results.jsonl"
    write(write_clip(folder / "clip.mp4"), [ResultsOutput(path)])
    return path


def truth_of(index: int) -> np.ndarray:
    """Label map of a frame's result."""
    label_map = label_map_of(index)
    if not index:
        label_map[label_map == 12] = 0
    return label_map

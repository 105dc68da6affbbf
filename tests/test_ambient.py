"""The caller's settings of torch: they change no result, and are as before afterwards; forked processes are refused."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from colour_sam import GREEN, RED, ColourSam, Square, draw

from persam_video import InputError, ObjectPrompt, Sam, Segmenter, Tracker, load_sam, open_run
from persam_video.frame import Frame
from persam_video.options import METHODS
from persam_video.prompt_masks import segment_prompts
from persam_video.runtime.ambient import isolated
from persam_video.tracking.pipeline import Pipeline, StageSeconds

SQUARES = [Square(1, RED, 10, 16), Square(2, GREEN, 20, 80)]


@contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "gradients": torch.enable_grad,
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "default device": lambda: default_device("meta"),
    "device of a block": lambda: torch.device("meta"),
}


def state() -> tuple[object, ...]:
    """Everything that a caller may have set."""
    return (
        torch.is_autocast_enabled("cpu"),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
    )


def outcome(sam: Sam) -> list[np.ndarray]:
    """Label maps and scores of everything that works with torch: all methods, corrections, targets, prompts."""
    found = []
    for method in METHODS:
        tracker = Tracker(sam, method=method)
        for index in range(4):
            image, truth = draw(SQUARES, index)
            masks = {0: truth, 2: np.where(truth == 2, 2, 0)}.get(index)
            result = tracker.step(image, label_map=masks)
            found += [result.label_map, np.array(list(result.scores.values()))]
        result = Tracker(sam, targets=tracker.targets).step(image)
        found += [result.label_map, np.array(list(result.scores.values()))]
    image, truth = draw(SQUARES, 0)
    found += [Segmenter(sam, [(image, truth)], method=each).segment(image).label_map for each in ("persam", "persam-f")]
    prompts = [ObjectPrompt(1, box=(10, 16, 42, 48)), ObjectPrompt(2, points=((30, 90, True),))]
    return [*found, segment_prompts(sam, image, prompts)]


def piped(sam: Sam) -> list[np.ndarray]:
    """Label maps of a pipeline, whose threads are of their own."""
    drawn = [draw(SQUARES, index) for index in range(4)]
    frames = [Frame(index=index, image=image, name=str(index)) for index, (image, _) in enumerate(drawn)]
    pipeline = Pipeline(Tracker(sam), sam, objects=2, seconds=StageSeconds())
    results = pipeline.results(frames, lambda frame: drawn[0][1] if frame.index == 0 else None)
    return [result.label_map for result in results]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(*pair) for pair in zip(a, b, strict=True))


@pytest.fixture
def colours() -> Sam:
    return cast(Sam, ColourSam())


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_changes_a_result_or_is_changed(colours: Sam, setting: str) -> None:
    wanted = [*outcome(colours), *piped(colours)]
    with SETTINGS[setting]():
        before = state()
        found = [*outcome(colours), *piped(colours)]
        assert state() == before
    assert same(found, wanted)


@contextmanager
def all_settings() -> Iterator[None]:
    with default_dtype(torch.float64), torch.device("meta"), torch.autocast("cpu"), torch.inference_mode():
        yield


def test_all_settings_at_once() -> None:
    with all_settings():
        before = state()
        with isolated():
            tensor = torch.ones(1)
            assert not tensor.is_inference()
            assert not tensor.requires_grad
            assert (tensor.device.type, tensor.dtype) == ("cpu", torch.float64)
            single = torch.ones(1, 1, dtype=torch.float32)
            assert (single @ single).dtype == torch.float32
        assert state() == before


@pytest.mark.slow
def test_the_real_model_is_loaded_and_used(sam: Sam) -> None:
    image, truth = draw(SQUARES, 0)

    def found(model: Sam) -> list[np.ndarray]:
        tracker = Tracker(model)
        results = [tracker.step(image, label_map=truth), tracker.step(draw(SQUARES, 1)[0])]
        return [model.encode(image).tensor.numpy(), *(each.label_map for each in results)]

    wanted = found(sam)
    with all_settings():
        assert same(found(load_sam("vit_t", device="cpu", progress=False)), wanted)


FORKS = """
import os
import torch
from colour_sam import RED, ColourSam, Square, draw
from persam_video import InputError, Tracker
torch.set_num_threads(2)
image, truth = draw([Square(1, RED, 10, 16)], 0)

def step():
    return Tracker(ColourSam()).step(image, label_map=truth)

def fork(threads):
    if os.fork() == 0:
        torch.set_num_threads(threads)
        try:
            print("visible", step().visible, flush=True)
        except InputError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()

fork(2)
step()
fork(2)
fork(1)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_forked_process_is_refused_where_it_would_wait_for_ever() -> None:
    command = [sys.executable, "-c", FORKS]
    folder = Path(__file__).parent
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=folder)
    before, after, single_threaded = done.stdout.splitlines()
    assert before == single_threaded == "visible {1: True}"
    assert "forked from one in which the model was used or loaded" in after
    assert "get_context('spawn')" in after


def test_a_model_is_not_pickled() -> None:
    options = cast(Any, None)
    with pytest.raises(TypeError, match="load it with load_sam in each process"):
        pickle.dumps(Sam(options, torch.device("cpu"), torch.float32, options, options))


def test_a_run_goes_on_in_its_own_process_only(colours: Sam) -> None:
    drawn = [draw(SQUARES, index) for index in range(3)]
    with open_run([image for image, _ in drawn], drawn[0][1], sam=colours) as run:
        next(run)
        run._process += 1  # as after a fork
        with pytest.raises(InputError, match="open one in each process"):
            next(run)

"""Functions that are captured once and replayed; on the CPU by a recorder that acts as a CUDA graph does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demo_scene import DemoScene
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from persam_video import FrameResult, Sam, Tracker, load_sam
from persam_video import track as track_video
from persam_video.methods.appearance import descriptors
from persam_video.methods.appearance.residuals import ResidualModel
from persam_video.runtime.cuda_graphs import GraphedCallable, capture_cuda_graph


@pytest.fixture(autouse=True)
def captured_at_the_third_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persam_video.runtime.cuda_graphs.CAPTURE_AT_CALL", 3)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")


class Recorder(TorchDispatchMode):
    """Keeps every operation with its input and output tensors, which stay at their addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.ops.aten.nonzero.default, torch.ops.aten._local_scalar_dense.default), func
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, tensors(out)))
        return out

    def replay(self) -> None:
        for func, args, kwargs, out in self.operations:
            inputs = {
                each.untyped_storage().data_ptr() for each in tensors((args, kwargs)) if each.layout == torch.strided
            }
            is_view = not func._schema.is_mutable and any(each.untyped_storage().data_ptr() in inputs for each in out)
            if not is_view:
                for mine, new in zip(out, tensors(func(*args, **kwargs)), strict=True):
                    if mine is not new:
                        mine.copy_(new)


def tensors(tree: Any) -> list[Tensor]:
    return [each for each in tree_leaves(tree) if isinstance(each, Tensor)]


def capture(work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
    with Recorder() as recorder:
        result = work()
    return result, recorder.replay


@dataclass
class Pair:
    x: Tensor
    factor: int


class Counted:
    """A function that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pair: Pair, others: tuple[Tensor, ...]) -> tuple[Pair, Tensor]:
        self.calls += 1
        return Pair(pair.x * pair.factor + others[0], pair.factor), others[0]


class TestReplay:
    def inputs(self, size: int, number: float, factor: int = 2) -> tuple[Pair, tuple[Tensor, ...]]:
        return Pair(torch.full((size,), number), factor), (torch.full((size,), 10.0),)

    def test_captured_at_the_third_call_and_then_replayed(self) -> None:
        counted = Counted()
        replay = GraphedCallable(counted, capture)
        kept = []
        for number in range(1, 8):
            pair, other = replay(*self.inputs(3, number))
            kept.append(pair.x)
            assert pair.factor == 2
            assert other.tolist() == [10] * 3
        assert [each.tolist() for each in kept] == [[10 + 2 * number] * 3 for number in range(1, 8)]
        assert counted.calls == 4  # three calls, and one to be captured

    def test_other_shapes_or_numbers_are_not_replayed(self) -> None:
        replay = GraphedCallable(Counted(), capture)
        for _ in range(5):
            replay(*self.inputs(3, 1))
        assert replay(*self.inputs(4, 1))[0].x.tolist() == [12] * 4
        assert replay(*self.inputs(4, 1, factor=3))[0].x.tolist() == [13] * 4
        assert replay(*self.inputs(3, 1))[0].x.tolist() == [12] * 3

    def test_inputs_are_not_changed(self) -> None:
        replay = GraphedCallable(Counted(), capture)
        for number in range(6):
            pair, others = self.inputs(3, number)
            replay(pair, others)
            assert pair.x.tolist() == [number] * 3

    def test_several_threads(self) -> None:
        def slow(x: Tensor) -> Tensor:
            return x * 2

        def capture_slow(work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
            result, run = capture(work)
            return result, lambda: (time.sleep(1e-3), run(), time.sleep(1e-3))[1]

        replay = GraphedCallable(slow, capture_slow)
        with ThreadPoolExecutor(4) as threads:
            doubled = threads.map(lambda number: replay(torch.tensor([number])).item(), range(100))
        assert list(doubled) == list(range(0, 200, 2))

    def test_captured_in_inference_mode_and_replayed_outside(self) -> None:
        replay = GraphedCallable(Counted(), capture)
        with torch.inference_mode():
            for number in range(4):
                replay(*self.inputs(3, number))
        assert replay(*self.inputs(3, 5))[0].x.tolist() == [20] * 3

    def test_without_a_capture_it_is_called(self) -> None:
        counted = Counted()
        for _ in range(5):
            GraphedCallable(counted, None)(*self.inputs(3, 1))
        assert counted.calls == 5

    def test_a_failed_capture_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken(work: Callable[[], Any]) -> Any:
            raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might be …")

        replay = GraphedCallable(Counted(), broken)
        for number in range(6):
            assert replay(*self.inputs(3, number))[0].x.tolist() == [10 + 2 * number] * 3
        (message,) = caplog.messages
        assert re.search("CUDA graphs are not used.*not permitted", message)

    @pytest.mark.parametrize("wrong", [1.5, float("nan")])
    def test_a_wrong_replay_is_not_used(self, wrong: float, caplog: pytest.LogCaptureFixture) -> None:
        def forgetful(work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
            result = work()
            return result, lambda: result[0].x.mul_(wrong)

        replay = GraphedCallable(Counted(), forgetful)
        for number in range(6):
            assert replay(*self.inputs(3, number))[0].x.tolist() == [10 + 2 * number] * 3
        assert "a replay deviates by" in caplog.text


def track(sam: Sam, scene: DemoScene, frames: int) -> Iterator[FrameResult]:
    image, label_map = scene.render(0)
    tracker = Tracker(sam)
    tracker.step(image, label_map=label_map)
    return (tracker.step(scene.render(index)[0]) for index in range(1, frames))


def test_the_default_method_is_played_as_it_is(
    sam: Sam, demo_scene: DemoScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ResidualModel, "correct_sparse", ResidualModel.correct_dense)  # as on a GPU
    monkeypatch.setattr(descriptors, "pool_with_opencv", descriptors.pool_with_torch)
    plays = []

    def record_and_count(work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        result, play = capture(work)
        return result, lambda: (plays.append(1), play())[1]

    played = track(replace(sam, capture=record_and_count), demo_scene, 8)
    for one, other in zip(played, track(sam, demo_scene, 8), strict=True):
        assert (one.label_map != other.label_map).mean() < 1e-3
        assert one.scores == pytest.approx(other.scores, abs=1e-3)
        assert all(other.visible.values())
    assert len(plays) == 1 + 4  # once to compare, then from the fourth frame on


@needs_cuda
def test_a_cuda_graph_does_the_same() -> None:
    replay = GraphedCallable(Counted(), partial(capture_cuda_graph, torch.device("cuda")))
    for number in range(1, 8):
        pair = Pair(torch.full((3,), float(number), device="cuda"), 2)
        result, _ = replay(pair, (torch.full((3,), 10.0, device="cuda"),))
        assert result.x.tolist() == [10 + 2 * number] * 3
    assert replay._captured is not None


@needs_cuda
def test_a_failed_cuda_graph_restores_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    replay = GraphedCallable(lambda x: x * x.item(), partial(capture_cuda_graph, torch.device("cuda")))
    for number in range(5):
        assert replay(torch.tensor(float(number), device="cuda")).item() == number**2
    assert "CUDA graphs are not used" in caplog.text
    assert torch.cuda.current_stream() == torch.cuda.default_stream()


@needs_cuda
def test_tracking_by_cuda_graphs_is_the_same_and_they_are_used(
    demo_scene: DemoScene, caplog: pytest.LogCaptureFixture
) -> None:
    graphed, plain = (load_sam("vit_t", device="cuda", precision="fp32", graphs=graphs) for graphs in (True, False))
    for one, other in zip(track(graphed, demo_scene, 12), track(plain, demo_scene, 12), strict=True):
        assert (one.label_map != other.label_map).mean() < 1e-2
        assert one.scores == pytest.approx(other.scores, abs=0.02)
    assert "CUDA graphs" not in caplog.text


@needs_cuda
def test_the_pipeline_on_cuda_gives_the_same() -> None:
    """Encoded in batches in a stream of its own, started ahead of the results, and replayed."""
    demo = Path(__file__).parents[1] / "demo"
    sam = load_sam("vit_t", device="cuda", precision="fp32")
    plain = load_sam("vit_t", device="cuda", precision="fp32", graphs=False)
    assert sam.batch == 4
    results = list(track_video(demo / "clip.mp4", demo / "first_mask.png", sam=sam))
    tracker = Tracker(plain)
    tracker.step(results[0].frame, label_map=results[0].label_map)
    alone = [tracker.step(result.frame).label_map for result in results[1:]]
    assert np.mean([a.label_map != b for a, b in zip(results[1:], alone, strict=True)]) < 1e-3

"""Device constants are built once, and a captured call keeps those it uses."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from persam_video.runtime.constants import constants_used, device_constant
from persam_video.runtime.cuda_graphs import CAPTURE_AT_CALL, GraphedCallable

CPU = torch.device("cpu")


@device_constant
def numbers(first: int, count: int) -> Tensor:
    return torch.arange(first, first + count)


def build_many_others() -> None:
    for count in range(100, 200):
        numbers(0, count, CPU)


def test_a_constant_is_built_once_per_device() -> None:
    made = numbers(2, 3, CPU)
    assert made.tolist() == [2, 3, 4]
    assert numbers(2, 3, CPU) is made
    assert numbers(2, 3, torch.device("meta")).device.type == "meta"


def test_the_least_recently_used_are_freed() -> None:
    made = weakref.ref(numbers(3, 3, CPU))
    build_many_others()
    assert made() is None


def test_constants_used_in_the_block_are_listed() -> None:
    with constants_used() as used:
        first, second = numbers(0, 4, CPU), numbers(0, 5, CPU)
    numbers(0, 6, CPU)
    assert [id(each) for each in used] == [id(first), id(second)]


def test_a_captured_call_keeps_its_constants() -> None:
    """A CUDA graph holds only their addresses."""

    def capture(work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        return work(), lambda: None

    def work(x: Tensor) -> Tensor:
        return x * 0 + numbers(5, 3, CPU)

    replay = GraphedCallable(work, capture)
    for _ in range(CAPTURE_AT_CALL + 1):
        replay(torch.ones(3))
    made = weakref.ref(numbers(5, 3, CPU))
    build_many_others()
    assert made() is not None
    del replay
    assert made() is None

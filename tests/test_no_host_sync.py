"""No host-device synchronisation in a frame. On torch's ``meta`` device, which has shapes but no numbers, torch raises
where a GPU would synchronise, to count or to read a number. Nothing may come from the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from persam_video import ModelOptions, Sam
from persam_video.frame import Frame
from persam_video.methods.appearance.kernel_ridge import FirstFrameFit, KernelRidge
from persam_video.methods.appearance.memory import Memory
from persam_video.methods.appearance.presence import Presence
from persam_video.methods.appearance.residuals import ResidualModel
from persam_video.methods.appearance.scenes import POOLED_CELLS, Scene
from persam_video.methods.appearance.score_statistics import ScoreStatistics
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.step import Step
from persam_video.methods.flow import FlowInputs, reduced_image
from persam_video.methods.persam.method import PersamMethod
from persam_video.methods.persam.segmentation import PERSAM, PERSAM_F
from persam_video.methods.persam.target import Targets
from persam_video.sam.models import build_network, sam_from_network

META = torch.device("meta")
OBJECTS = 3
IMAGE = np.zeros((480, 854, 3), np.uint8)


class ForbidCpuTensors(TorchDispatchMode):
    """Raises where a tensor is on the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves((args, kwargs, out)):
            assert not isinstance(each, Tensor) or each.device == META, (func, each.device)
        return out


class ForbidNumbers(TorchFunctionMode):
    """Raises where a tensor is made of Python numbers, which are copied from the host."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.tensor, torch.as_tensor, Tensor.new_tensor), func
        return func(*args, **(kwargs or {}))


@contextmanager
def nothing_from_the_cpu() -> Iterator[None]:
    with ForbidCpuTensors(), ForbidNumbers():
        yield


@pytest.fixture(scope="module", params=["vit_t", "vit_b"])
def sam(request: pytest.FixtureRequest) -> Sam:
    return sam_from_network(build_network(request.param), ModelOptions(request.param), device=META, dtype=torch.float32)


def test_the_check_finds_synchronisation() -> None:
    maps = torch.empty(3, 3, device=META)
    for wrong in (
        lambda: maps[maps > 0],
        lambda: maps.sum().item(),
        lambda: maps.new_tensor([1.0, 2.0, 3.0]),
        lambda: maps @ torch.zeros(3, 3),
    ):
        with pytest.raises((AssertionError, NotImplementedError, RuntimeError)), nothing_from_the_cpu():
            wrong()


def test_encoding(sam: Sam) -> None:
    images = torch.from_numpy(np.stack([IMAGE, IMAGE])).to(META)
    sam.encode.encode(images)  # computes the cached device constants of its shape
    with nothing_from_the_cpu():
        assert sam.encode.encode(images).shape == (2, 256, 36, 64)


def test_the_default_method(sam: Sam) -> None:
    def some(*size: int) -> Tensor:
        return torch.empty(*size, device=META)

    first = FirstFrameFit(some(256), some(512, 262), some(512, 512), some(OBJECTS), some(512, 512), some(512, OBJECTS))
    statistics = ScoreStatistics(*some(4, OBJECTS))
    memory = Memory(
        (KernelRidge.of(first, Settings()),),
        statistics,
        statistics,
        Presence(*some(3, OBJECTS)),
        some(OBJECTS),
        ResidualModel(some(OBJECTS, 128, 11), some(OBJECTS, 128)),
        (Scene.of(some(POOLED_CELLS, 262), OBJECTS),),
        some(OBJECTS),
        some(OBJECTS) > 0,
        some(OBJECTS, 144, 256),
    )
    features = sam.encode(IMAGE)
    step = Step(sam.decode, Settings())
    cut = some(1)[0] > 0
    step(memory, features, some(2, 288, 512), cut)  # computes the cached device constants of its shape
    with nothing_from_the_cpu():
        after, logits, scores = step(memory, features, some(2, 288, 512), cut)
    assert (logits.shape, scores.shape) == ((OBJECTS, 144, 256), (OBJECTS,))
    assert after.probabilities.shape == memory.probabilities.shape


@pytest.mark.parametrize("config", [PERSAM_F, PERSAM])
def test_the_published_methods(sam: Sam, config: Any) -> None:
    method = PersamMethod(sam, config)
    method._targets = Targets(*(torch.empty(OBJECTS, size, device=META) for size in (256, 256, 3)))
    method._boxes, method._has_box = torch.empty(OBJECTS, 4, device=META), torch.ones(OBJECTS, device=META) > 0
    features = sam.encode(IMAGE)
    flow, cut = torch.empty(2, 288, 512, device=META), torch.empty((), device=META) > 0
    prepared = FlowInputs(flow, cut, reduced_image(IMAGE), None)
    with nothing_from_the_cpu():
        logits, scores = method.find(Frame(index=1, image=IMAGE, name="1"), features, prepared)
    assert (logits.shape, scores.shape) == ((OBJECTS, 144, 256), (OBJECTS,))

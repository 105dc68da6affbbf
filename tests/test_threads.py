"""Distribution of the CPU cores: a few have a frame each, many share one frame."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import pytest
import torch

from persam_video.runtime.threads import ThreadPlan

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_in_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_few_cores_have_one_frame_each() -> None:
    plan = ThreadPlan(5, CPU)
    assert plan.parallel_frames == 2
    with plan.single_threaded():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_the_number_is_restored_after_an_error() -> None:
    with pytest.raises(ValueError, match="broken"), ThreadPlan(1, CPU).single_threaded():
        raise ValueError("broken")
    assert torch.get_num_threads() == 2


def test_new_threads_have_all_cores_afterwards() -> None:
    with ThreadPlan(1, CPU).single_threaded():
        pass
    assert threads_in_a_new_thread() == 2


@pytest.mark.parametrize(("threads", "objects"), [(1, 1), (2, 17), (8, 1)])
def test_one_core_many_cores_or_many_objects(threads: int, objects: int) -> None:
    torch.set_num_threads(threads)
    plan = ThreadPlan(objects, CPU)
    assert plan.parallel_frames == 1
    with plan.single_threaded():
        assert torch.get_num_threads() == threads


def test_beside_a_gpu_each_thread_takes_one_core() -> None:
    before = cv2.getNumThreads()
    plan = ThreadPlan(1, GPU)
    assert plan.parallel_frames == 1
    assert not plan.model_on_cpu
    with plan.single_threaded(), plan.limit_opencv():
        assert torch.get_num_threads() == cv2.getNumThreads() == 1
    assert torch.get_num_threads() == 2
    assert cv2.getNumThreads() == before


def test_on_a_cpu_opencv_has_all_cores() -> None:
    before = cv2.getNumThreads()
    with ThreadPlan(1, CPU).limit_opencv():
        assert cv2.getNumThreads() == before


def test_of_large_frames_few_are_held() -> None:
    assert ThreadPlan(1, CPU, large_frames=True).parallel_frames == 1

"""`tools/benchmark.py encoder`, `cost` and `memory`: they run, and their results are plausible."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import benchmark
import pytest
import torch
from benchmark_cost import busy_share
from PIL import Image
from torch import Tensor
from torch.profiler import ProfilerActivity

pytestmark = pytest.mark.weights

OPTIONS = ["--device", "cpu", "--quiet"]


def results_of(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    path = tmp_path / "results.json"
    assert benchmark.main([*arguments, *OPTIONS, "--json", str(path)]) == 0
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def test_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = results_of(tmp_path, "encoder", "--repeat", "1")
    assert set(results["seconds"]) == {
        "as it comes, square",
        "fp32",
        "fp32, square",
        "fp32, 4 at once",
        "bf16",
        "fp32, 768 pixels",
        "fp32, 512 pixels",
        "as it comes",
        "ONNX Runtime",
    }
    # The same weights everywhere, and the same image: only the square and bf16 differ.
    for name in ("as it comes", "ONNX Runtime", "fp32, 4 at once"):
        assert results["difference"][name] < 1e-4
    assert 1e-4 < results["difference"]["bf16"] < 5e-2
    assert 30e9 < results["operations"] < 60e9  # 74 G for the square, 9/16 of it
    assert "ONNX Runtime" in capsys.readouterr().out


def test_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "cost.png"
    limits = ["--objects", "1", "3", "--resolutions", "480p", "720p", "--frames", "6", "--size", "512"]
    results = results_of(tmp_path, "cost", *limits, "--plot", str(plot))
    assert list(results["objects"]) == ["1", "3"]
    assert list(results["resolutions"]) == ["480p", "720p"]
    for each in (*results["objects"].values(), *results["resolutions"].values()):
        assert each["whole"] > 0
        assert each["encode"] + each["track"] < 4 * each["whole"]  # two frames may be encoded while one is tracked
        assert each["write"] > 0
    assert Image.open(plot).size[0] > 600
    assert "720p" in capsys.readouterr().out


def test_random_weights_need_no_checkpoint(tmp_path: Path) -> None:
    options = ["--model", "vit_b", "--random-weights", "--size", "512", "--frames", "6"]
    results = results_of(tmp_path, "cost", *options, "--objects", "1", "--resolutions", "480p")
    assert results["objects"]["1"]["encode"] > 0


def test_busy_share_of_a_device() -> None:
    def work() -> Iterator[Tensor]:
        matrix = torch.ones(500, 500)
        for _ in range(5):
            time.sleep(0.1)
            yield matrix @ matrix  # operations within others count once

    started = time.perf_counter()
    share = busy_share(work(), ProfilerActivity.CPU)
    assert 0 < share < 1 - 0.5 / (time.perf_counter() - started)


def test_cost_needs_more_than_the_first_frame(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["cost", "--frames", "2", *OPTIONS]) == 2
    assert "--frames 2" in capsys.readouterr().err


def test_random_weights_or_a_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["cost", "--random-weights", "--checkpoint", "some.pt", *OPTIONS]) == 2
    assert "--random-weights and --checkpoint: give one of them" in capsys.readouterr().err


def test_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = results_of(tmp_path, "memory", "--frames", "1", "3", "--objects", "1", "--size", "512")
    resident = results["resident bytes after frames"]
    assert list(resident) == ["1", "3"]
    assert all(size > 100e6 for size in resident.values())  # torch and the weights alone
    assert results["resident bytes at most"] >= max(resident.values())
    assert "growth" in capsys.readouterr().out

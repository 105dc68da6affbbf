"""The image encoder on one 854×480 frame: this package's beside others, and beside what the device could do."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from demo_scene import DemoScene
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from persam_video.cli.common import positive
from persam_video.options import DEFAULT_MODEL, MODELS, ModelOptions
from persam_video.runtime.cuda_graphs import CAPTURE_AT_CALL
from persam_video.sam.grids import to_input
from persam_video.sam.inference_layers import PackedLinear, is_packing_faster
from persam_video.sam.models import build_network, choose_device, sam_from_network

_MATRIX = {"cpu": 2048, "cuda": 8192}
_PRODUCTS = {"cpu": 1, "cuda": 20}
"""At a time, so that starting them does not count."""
_UNTIL_RECORDED = {"cuda": CAPTURE_AT_CALL}
"""How often ours is run before all of its kernels are started at once."""
_BATCH = 4
_BATCHED = f", {_BATCH} at once"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `measure` looks at, but ``--json``."""
    parser.add_argument("--model", choices=MODELS, default=DEFAULT_MODEL, help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="auto (default), cuda, cpu or mps")
    parser.add_argument("--repeat", metavar="N", type=positive, default=7, help="rounds; default: 7")
    parser.add_argument("--compile", action="store_true", help="with torch.compile too, which takes minutes to begin")
    parser.add_argument("--quiet", action="store_true", help="no bars")


@torch.inference_mode()
def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every way once in each round, with random weights, which cost the same.

    Returns:
        seconds a frame, how long the first run of each took, how far its features are from those of fp32, and how many
        operations the encoder and the device's matrix products make.
    """
    device = choose_device(options.device)
    with device:  # where random numbers for a large model take no time
        state = build_network(options.model).state_dict()
    image = DemoScene(objects=1, frames=1).render(0)[0]
    pixels = to_input(torch.from_numpy(image)[None].to(device))
    rows, columns = (side // 16 for side in pixels.shape[2:])

    def build() -> Any:
        with device:
            network = build_network(options.model)
        network.load_state_dict(state)
        return network

    def ours(dtype: torch.dtype, frames: int = 1, **how: Any) -> Callable[[], Tensor]:
        sam = sam_from_network(build(), ModelOptions(options.model, **how), device=device, dtype=dtype)
        return lambda: sam.encode.batch([image] * frames)[0].tensor

    plain = build().image_encoder.to(device).eval()
    square = F.pad(pixels, (0, plain.img_size - pixels.shape[3], 0, plain.img_size - pixels.shape[2]))
    ways: dict[str, Callable[[], Tensor]] = {
        "as it comes, square": lambda: plain(square)[:, :, :rows, :columns],
        "fp32": ours(torch.float32),
        "fp32, square": ours(torch.float32, exact_padding=True),
        f"fp32{_BATCHED}": ours(torch.float32, _BATCH),
        "bf16": ours(torch.bfloat16),
        f"bf16{_BATCHED}": ours(torch.bfloat16, _BATCH),
        "fp32, 768 pixels": ours(torch.float32, size=768),
        "fp32, 512 pixels": ours(torch.float32, size=512),
    }
    if options.compile:
        ways["fp32, torch.compile"] = ours(torch.float32, compile=True)
        if device.type == "cuda":
            ways["bf16, torch.compile"] = ours(torch.bfloat16, compile=True)
            ways[f"bf16, torch.compile{_BATCHED}"] = ours(torch.bfloat16, _BATCH, compile=True)
    if options.model == "vit_t":
        ways["as it comes"] = lambda: plain(pixels)
        if device.type == "cpu":
            ways["ONNX Runtime"] = _onnx(plain, pixels)
    first: dict[str, float] = {}
    features = {name: _timed(way, device, first, name) for name, way in ways.items()}
    for way in ways.values():
        for _ in range(_UNTIL_RECORDED.get(device.type, 0)):
            way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in tqdm(range(options.repeat), "rounds", leave=False, disable=options.quiet):
        for name, way in ways.items():
            spent: dict[str, float] = {}
            _timed(way, device, spent, name)
            seconds[name].append(spent[name] / (_BATCH if name.endswith(_BATCHED) else 1))
    counted_pass = ours(torch.bfloat16)  # not packed: torch counts only its own layers
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        counted_pass()
    rates = {name: _matrix_rate(device, dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    same = features["fp32"]
    return {
        "model": options.model,
        "device": str(device),
        "rounds": options.repeat,
        "operations": counter.get_total_flops(),
        "operations a second of matrix products": rates,
        "seconds": seconds,
        "first run": first,
        "difference": {
            name: float((each - same).norm() / same.norm())
            for name, each in features.items()
            if each.shape == same.shape  # smaller frames have other features
        },
    }


def _timed(way: Callable[[], Tensor], device: torch.device, seconds: dict[str, float], name: str) -> Tensor:
    started = time.perf_counter()
    result = way().float()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds[name] = time.perf_counter() - started
    return result


def _onnx(network: nn.Module, pixels: Tensor) -> Callable[[], Tensor]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "encoder.onnx"
        torch.onnx.export(network, (pixels,), str(path), dynamo=False)
        session = onnxruntime.InferenceSession(path, options)
    feed = {session.get_inputs()[0].name: np.ascontiguousarray(pixels.numpy())}
    return lambda: torch.from_numpy(session.run(None, feed)[0])


def _matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Multiplications and additions a second in the product of two large matrices: the best of ten."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    size, products = _MATRIX[kind], _PRODUCTS[kind]
    matrix = torch.randn(size, size, device=device).to(dtype)
    linear = nn.Linear(size, size, bias=False, device=device, dtype=dtype)
    # What is quickest on a CPU.
    packed = device.type == "cpu" and dtype == torch.float32 and is_packing_faster()
    product = PackedLinear(linear) if packed else linear
    spent: dict[str, float] = {}
    for index in range(10):
        _timed(lambda: [product(matrix) for _ in range(products)][-1][:1], device, spent, str(index))
    return 2 * products * size**3 / min(spent.values())


def show(figures: dict[str, Any]) -> None:
    """The figures for a person."""
    rates = figures["operations a second of matrix products"]
    operations = figures["operations"]
    print(
        f"{figures['model']} on {figures['device']}, one frame of 854×480, {figures['rounds']} rounds, medians; "
        f"{operations / 1e9:.0f} G operations; matrix products: "
        + ", ".join(f"{name} {rate / 1e9:.0f} G/s" for name, rate in rates.items())
    )
    print(f"{'':<22} {'a frame':>9} {'ratio':>7} {'of the floor':>13} {'first run':>10} {'difference':>11}")
    middle = {name: statistics.median(each) for name, each in figures["seconds"].items()}
    for name, spent in middle.items():
        floor = operations / rates["bf16" if name.startswith("bf16") else "fp32"]
        is_same = name in figures["difference"]
        share, difference = (f"{floor / spent:.0%}", f"{figures['difference'][name]:.1e}") if is_same else ("", "")
        print(
            f"{name:<22} {1000 * spent:>6.0f} ms {middle['as it comes, square'] / spent:>7.2f} {share:>13} "
            f"{figures['first run'][name]:>8.1f} s {difference:>11}"
        )

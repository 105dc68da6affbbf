"""The image encoder on one 854×480 frame: this package's, others, and the device's rate of matrix products."""

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
"""Side of the matrices, by device."""
_PRODUCTS = {"cpu": 1, "cuda": 20}
"""Number of products timed together, by device, so that the time of a launch is negligible."""
_CALLS_UNTIL_CAPTURE = {"cuda": CAPTURE_AT_CALL}
"""Number of calls before the encoder replays a CUDA graph, by device."""
_BATCH = 4
_BATCHED = f", {_BATCH} at once"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `measure`, except ``--json``."""
    parser.add_argument("--model", choices=MODELS, default=DEFAULT_MODEL, help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="auto (default), cuda, cpu or mps")
    parser.add_argument("--repeat", metavar="N", type=positive, default=7, help="rounds; default: 7")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile, which takes minutes to start")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


@torch.no_grad()
def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Times of all variants of the encoder, each run once in every round, with random weights, which take as long.

    Returns:
        seconds per frame and of the first run, relative difference of the features from those of fp32, floating-point
        operations of the encoder, and operations per second of matrix products on the device.
    """
    device = choose_device(options.device)
    with device:  # on a GPU random weights of a large model take no time
        state = build_network(options.model).state_dict()
    image = DemoScene(objects=1, frames=1).render(0)[0]
    pixels = to_input(torch.from_numpy(image)[None].to(device))
    rows, columns = (side // 16 for side in pixels.shape[2:])

    def build() -> Any:
        with device:
            network = build_network(options.model)
        network.load_state_dict(state)
        return network

    def ours(dtype: torch.dtype, frames: int = 1, **changes: Any) -> Callable[[], Tensor]:
        sam = sam_from_network(build(), ModelOptions(options.model, **changes), device=device, dtype=dtype)
        return lambda: sam.encode.batch([image] * frames)[0].tensor

    plain = build().image_encoder.to(device).eval()
    square = F.pad(pixels, (0, plain.img_size - pixels.shape[3], 0, plain.img_size - pixels.shape[2]))
    variants: dict[str, Callable[[], Tensor]] = {
        "as it comes, square": lambda: plain(square)[:, :, :rows, :columns],
        "fp32": ours(torch.float32),
        "fp32, square": ours(torch.float32, exact_padding=True),
        f"fp32{_BATCHED}": ours(torch.float32, _BATCH),
        "bf16": ours(torch.bfloat16),
        "fp32, 768 pixels": ours(torch.float32, size=768),
        "fp32, 512 pixels": ours(torch.float32, size=512),
    }
    if device.type != "cpu":  # where it takes a minute, and nobody encodes so
        variants[f"bf16{_BATCHED}"] = ours(torch.bfloat16, _BATCH)
    if options.compile:
        variants["fp32, torch.compile"] = ours(torch.float32, compile=True)
        if device.type == "cuda":
            variants["bf16, torch.compile"] = ours(torch.bfloat16, compile=True)
            variants[f"bf16, torch.compile{_BATCHED}"] = ours(torch.bfloat16, _BATCH, compile=True)
    if options.model == "vit_t":
        variants["as it comes"] = lambda: plain(pixels)
        if device.type == "cpu":
            variants["ONNX Runtime"] = _onnx(plain, pixels)
    first: dict[str, float] = {}
    features = {name: _timed(encode, device, first, name) for name, encode in variants.items()}
    for encode in variants.values():
        for _ in range(_CALLS_UNTIL_CAPTURE.get(device.type, 0)):
            encode()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in tqdm(range(options.repeat), "rounds", leave=False, disable=options.quiet):
        for name, encode in variants.items():
            spent: dict[str, float] = {}
            _timed(encode, device, spent, name)
            seconds[name].append(spent[name] / (_BATCH if name.endswith(_BATCHED) else 1))
    counted = ours(torch.bfloat16)  # no packed layers: torch counts only its own
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        counted()
    rates = {name: _matrix_rate(device, dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    exact = features["fp32"]
    return {
        "model": options.model,
        "device": str(device),
        "rounds": options.repeat,
        "operations": counter.get_total_flops(),
        "operations a second of matrix products": rates,
        "seconds": seconds,
        "first run": first,
        "difference": {
            name: float((each - exact).norm() / exact.norm())
            for name, each in features.items()
            if each.shape == exact.shape  # not those of smaller sizes
        },
    }


def _timed(run: Callable[[], Tensor], device: torch.device, seconds: dict[str, float], name: str) -> Tensor:
    """Result of a function, float32; its time is put into ``seconds``."""
    started = time.perf_counter()
    result = run().float()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds[name] = time.perf_counter() - started
    return result


def _onnx(network: nn.Module, pixels: Tensor) -> Callable[[], Tensor]:
    """Function that runs a network in ONNX Runtime, with as many threads as torch."""
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
    """Floating-point operations per second in the product of two large matrices: the best of ten."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    size, products = _MATRIX[kind], _PRODUCTS[kind]
    matrix = torch.randn(size, size, device=device).to(dtype)
    linear = nn.Linear(size, size, bias=False, device=device, dtype=dtype)
    packed = device.type == "cpu" and dtype == torch.float32 and is_packing_faster()
    product = PackedLinear(linear) if packed else linear
    spent: dict[str, float] = {}
    for index in range(10):
        _timed(lambda: [product(matrix) for _ in range(products)][-1][:1], device, spent, str(index))
    return 2 * products * size**3 / min(spent.values())


def show(metrics: dict[str, Any]) -> None:
    """Print a table of the result of `measure`."""
    rates = metrics["operations a second of matrix products"]
    operations = metrics["operations"]
    print(
        f"{metrics['model']} on {metrics['device']}, one frame of 854×480, {metrics['rounds']} rounds, medians; "
        f"{operations / 1e9:.0f} G operations; matrix products: "
        + ", ".join(f"{name} {rate / 1e9:.0f} G/s" for name, rate in rates.items())
    )
    print(f"{'':<22} {'a frame':>9} {'ratio':>7} {'of the floor':>13} {'first run':>10} {'difference':>11}")
    medians = {name: statistics.median(each) for name, each in metrics["seconds"].items()}
    for name, spent in medians.items():
        floor = operations / rates["bf16" if name.startswith("bf16") else "fp32"]
        is_same = name in metrics["difference"]
        share, difference = (f"{floor / spent:.0%}", f"{metrics['difference'][name]:.1e}") if is_same else ("", "")
        print(
            f"{name:<22} {1000 * spent:>6.0f} ms {medians['as it comes, square'] / spent:>7.2f} {share:>13} "
            f"{metrics['first run'][name]:>8.1f} s {difference:>11}"
        )

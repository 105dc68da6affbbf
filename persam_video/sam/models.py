"""The models: how each is built, and how one with its weights gets onto a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, TwoWayTransformer
from segment_anything.modeling import MaskDecoder as SamMaskDecoder
from segment_anything.modeling import PromptEncoder as SamPromptEncoder
from segment_anything.modeling import Sam as SamNetwork
from torch import Tensor

from persam_video.errors import CheckpointError, DeviceError, InputError
from persam_video.options import DEFAULT_MODEL, MODELS, SIZES
from persam_video.runtime.cuda_graphs import Record, capture_cuda_graph
from persam_video.sam import mobile_sam
from persam_video.sam.checkpoints import fetch_checkpoint, load_state_dict
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE, PIXEL_MEAN, PIXEL_STD
from persam_video.sam.image_encoder import Encode, ImageEncoder
from persam_video.sam.inference_layers import (
    fuse_norms,
    has_onednn,
    is_packing_faster,
    keep_weights_as,
    pack_linears,
    write_over,
)
from persam_video.sam.mask_decoder import MaskDecoder
from persam_video.sam.prompt_encoder import PromptEncoder
from persam_video.sam.tiny_vit_encoder import TinyVitEncoder
from persam_video.sam.vit_encoder import VitEncoder

DEVICES = ("auto", "cuda", "cpu", "mps")
_BATCH_ON_CUDA = 4
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False, slots=True)
class Sam:
    """A frozen Segment Anything on its device.

    Args:
        model: ``vit_t``, ``vit_b``, ``vit_l`` or ``vit_h``.
        device: where it computes.
        dtype: what the image encoder computes in; the rest is always float32.
        encode: a picture, RGB, uint8, H×W×3, to its `Features`.
        decode: `Features` and the `Prompts` of N objects to N×3 masks.
        checkpoint: the file that the weights are from; None for random ones.
        size: what the longer side of every frame becomes before it is encoded, in pixels.
        exact_padding: whether frames are padded to a square before they are encoded.
        record: how work is recorded that is the same for every frame (`GraphedCallable`), or None.
        batch: how many frames of a video are encoded at once.
    """

    model: str
    device: torch.device
    dtype: torch.dtype
    encode: Encode
    decode: MaskDecoder
    checkpoint: Path | None = None
    size: int = INPUT_SIZE
    exact_padding: bool = False
    record: Record | None = None
    batch: int = 1


def load_sam(
    model: str = DEFAULT_MODEL,
    *,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    size: int = INPUT_SIZE,
    exact_padding: bool = False,
    compiled: bool = False,
    graphs: bool = True,
    batch: int | None = None,
    progress: bool = True,
) -> Sam:
    """A model with its weights on a device.

    Args:
        model: ``vit_t`` (MobileSAM), ``vit_b``, ``vit_l`` or ``vit_h``.
        checkpoint: a local file of weights (.pt, .pth, .safetensors); by default the published ones, downloaded
            once into the user's cache.
        device: ``auto`` (CUDA, else MPS, else the CPU), or a torch device such as ``cuda:1``.
        precision: of the image encoder: ``fp32``, ``bf16``, ``fp16``, or ``auto`` (bf16 on CUDA, fp32 elsewhere).
        size: what the longer side of every frame becomes before it is encoded: 1024 pixels as in SAM, or 768 or 512,
            which is faster and coarser.
        exact_padding: pad every frame with zeros to a square before it is encoded, as SAM itself does: its own
            features, for twice the work at 16:9.
        compiled: put the image encoder through `torch.compile`: the first frame then takes up to minutes. On a CPU it
            is slower than without (`tools/benchmark.py encoder --compile`).
        graphs: on CUDA, record what is done with a frame once and play it for the next ones (CUDA graphs).
        batch: how many frames of a video to encode at once; by default 4 on CUDA, elsewhere 1.
        progress: show a bar on stderr while downloading.
    Raises:
        InputError: no such model or size.
        CheckpointError: the weights cannot be had or do not fit the model.
        DeviceError: the device or the precision is not available.
    """
    if model not in MODELS:
        raise InputError(f"unknown model {model!r}; the models are {', '.join(MODELS)}")
    if size not in SIZES:
        raise InputError(f"size {size}: the sizes are {', '.join(map(str, SIZES))}")
    chosen_device = choose_device(device)
    dtype = choose_dtype(precision, chosen_device)
    path = fetch_checkpoint(model, progress=progress) if checkpoint is None else Path(checkpoint)
    network = build_network(model)
    load_weights(network, load_state_dict(path), model=model, name=str(path))
    return sam_from_network(
        network,
        model=model,
        device=chosen_device,
        dtype=dtype,
        size=size,
        exact_padding=exact_padding,
        compiled=compiled,
        graphs=graphs,
        batch=batch,
        checkpoint=path,
    )


def sam_from_network(
    network: SamNetwork,
    *,
    model: str,
    device: torch.device,
    dtype: torch.dtype,
    size: int = INPUT_SIZE,
    exact_padding: bool = False,
    compiled: bool = False,
    graphs: bool = True,
    batch: int | None = None,
    checkpoint: Path | None = None,
) -> Sam:
    """A network with its weights, frozen, made ready for inference and moved to its device; it is changed in place.

    Args:
        size: what the longer side of every frame becomes before it is encoded.
        exact_padding: pad every frame with zeros to a square before it is encoded, as SAM itself does.
        compiled: put the image encoder through `torch.compile`.
        graphs: on CUDA, record what is done with a frame once and play it for the next ones.
        batch: how many frames of a video to encode at once; None: 4 on CUDA, elsewhere 1.
    """
    network.eval().requires_grad_(False)
    write_over(network)
    fuse_norms(network)
    if isinstance(network.image_encoder, TinyVitEncoder):
        network.image_encoder.freeze()
    elif isinstance(network.image_encoder, ImageEncoderViT):
        network.image_encoder = VitEncoder(network.image_encoder)
    if dtype != torch.float32:
        keep_weights_as(network.image_encoder, dtype)
    network.to(device, memory_format=torch.channels_last)
    decoder = MaskDecoder(PromptEncoder(network.prompt_encoder), network.mask_decoder)
    if device.type == "cpu":
        in_full = dtype == torch.float32 and not compiled
        if is_packing_faster():
            decoder.pack_linears()
            if in_full:
                pack_linears(network.image_encoder)
        if in_full and isinstance(network.image_encoder, TinyVitEncoder) and has_onednn("_convolution_pointwise"):
            network.image_encoder.fuse_gelus()
    record = partial(capture_cuda_graph, device) if graphs and device.type == "cuda" else None
    encoder: Any = network.image_encoder
    if compiled and isinstance(encoder, VitEncoder):
        encoder.compile_blocks()
    elif compiled:
        encoder = torch.compile(encoder)
    return Sam(
        model=model,
        device=device,
        dtype=dtype,
        encode=ImageEncoder(encoder, device=device, dtype=dtype, size=size, exact_padding=exact_padding, record=record),
        decode=decoder,
        checkpoint=checkpoint,
        size=size,
        exact_padding=exact_padding,
        record=record,
        batch=batch or (_BATCH_ON_CUDA if device.type == "cuda" else 1),
    )


def build_network(model: str) -> SamNetwork:
    """A model with random weights: ``segment_anything``'s own, or for ``vit_t`` TinyViT before its decoder."""
    if model != "vit_t":
        return sam_model_registry[model](checkpoint=None)
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


def load_weights(network: Any, state: Mapping[str, Tensor], *, model: str, name: str) -> None:
    """Put weights into a network, all of them or none.

    Args:
        name: what the weights are called in an error.
    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape.
    """
    if model == "vit_t":
        state = mobile_sam.to_timm(dict(state))
    wanted = network.state_dict()
    differences = [
        _difference("missing", [key for key in wanted if key not in state]),
        _difference("unknown", [key for key in state if key not in wanted]),
        _difference(
            "of another shape",
            [
                f"{key} {_shape(state[key])} instead of {_shape(tensor)}"
                for key, tensor in wanted.items()
                if key in state and state[key].shape != tensor.shape
            ],
        ),
    ]
    if any(differences):
        other = _recognise(state)
        advice = f"; it looks like {other}: use --model {other}" if other not in (None, model) else ""
        raise CheckpointError(f"{name}: not weights of {model}: {', '.join(filter(None, differences))}{advice}")
    network.load_state_dict(state)


def _difference(what: str, names: list[str]) -> str:
    if not names:
        return ""
    return f"{len(names)} {'tensor' if len(names) == 1 else 'tensors'} {what} ({names[0]}{', …' * (len(names) > 1)})"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _recognise(state: Mapping[str, Tensor]) -> str | None:
    """Which model's weights these are, by the width of the image encoder."""
    if any(key.startswith(("image_encoder.patch_embed.seq", "image_encoder.patch_embed.conv1")) for key in state):
        return "vit_t"
    position = state.get("image_encoder.pos_embed")
    widths = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
    return None if position is None else widths.get(position.shape[-1])


def choose_device(name: str) -> torch.device:
    """The device a name stands for.

    Raises:
        DeviceError: there is no such device here.
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
            f"device {name}: there is none on this machine (or torch was built without it); use --device cpu"
        )
    if name == "cuda":
        device = torch.device("cuda", torch.cuda.current_device())  # of this thread: others have their own
    if (device.index or 0) >= count:
        raise DeviceError(f"device {name}: this machine has only {count} of them, counted from 0")
    return device


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What the image encoder computes in.

    Raises:
        DeviceError: no such precision, or the device does not have it.
    """
    if precision == "auto":
        # From Ampere on; older cards only emulate it.
        has_bf16 = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
        precision = "bf16" if has_bf16 else "fp32"
    if precision not in PRECISIONS:
        raise DeviceError(f"unknown precision {precision!r}; the precisions are auto, {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("precision fp16: too slow on a CPU to be of use; use fp32 or bf16")
    return PRECISIONS[precision]

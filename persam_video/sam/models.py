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

from persam_video.errors import CheckpointError, DeviceError
from persam_video.options import DEFAULT_MODEL, PRECISIONS, ModelOptions
from persam_video.runtime.cuda_graphs import Capture, capture_cuda_graph
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
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False, slots=True)
class Sam:
    """A frozen Segment Anything on its device.

    Args:
        options: which it is.
        device: device of all parts.
        dtype: dtype that the image encoder computes in; all else is float32.
        encode: image, RGB, uint8, H×W×3, to `Features`.
        decode: `Features` and the `Prompts` of N objects to N×3 masks.
        batch: number of frames of a video to encode at once.
        checkpoint: file of the weights; None: random weights.
        capture: capture function for `GraphedCallable`; None: nothing is captured.
    """

    options: ModelOptions
    device: torch.device
    dtype: torch.dtype
    encode: Encode
    decode: MaskDecoder
    batch: int = 1
    checkpoint: Path | None = None
    capture: Capture | None = None


def load_sam(model: str | ModelOptions = DEFAULT_MODEL, *, progress: bool = True, **options: Any) -> Sam:
    """Load a model with its weights onto a device.

    Args:
        model: ``vit_t`` (MobileSAM), ``vit_b``, ``vit_l`` or ``vit_h``, or all options at once.
        progress: show a bar on stderr while weights are downloaded.
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
    path = Path(chosen.checkpoint or fetch_checkpoint(chosen.model, progress=progress))
    network = build_network(chosen.model)
    load_weights(network, load_state_dict(path), model=chosen.model, name=str(path))
    return sam_from_network(network, chosen, device=device, dtype=dtype, checkpoint=path)


def sam_from_network(
    network: SamNetwork,
    options: ModelOptions,
    *,
    device: torch.device,
    dtype: torch.dtype,
    checkpoint: Path | None = None,
) -> Sam:
    """A network with its weights, frozen, prepared for inference and moved to its device; it is changed in place.

    Args:
        options: its model, size, padding and batch, and whether it is compiled and captured.
        device: the device, which replaces that of the options.
        dtype: dtype that the image encoder computes in, which replaces the precision of the options.
        checkpoint: file that the weights are from.
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
        in_full = dtype == torch.float32 and not options.compile
        if is_packing_faster():
            decoder.pack_linears()
            if in_full:
                pack_linears(network.image_encoder)
        if in_full and isinstance(network.image_encoder, TinyVitEncoder) and has_onednn("_convolution_pointwise"):
            network.image_encoder.fuse_gelus()
    capture = partial(capture_cuda_graph, device) if options.graphs and device.type == "cuda" else None
    encoder: Any = network.image_encoder
    if options.compile and isinstance(encoder, VitEncoder):
        encoder.compile_blocks()
    elif options.compile:
        encoder = torch.compile(encoder)
    return Sam(
        options=options,
        device=device,
        dtype=dtype,
        encode=ImageEncoder(
            encoder,
            device=device,
            dtype=dtype,
            size=options.size,
            exact_padding=options.exact_padding,
            capture=capture,
        ),
        decode=decoder,
        batch=options.batch or (_BATCH_ON_CUDA if device.type == "cuda" else 1),
        checkpoint=checkpoint,
        capture=capture,
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
    if precision not in _DTYPES:
        raise DeviceError(f"unknown precision {precision!r}; the precisions are {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("precision fp16: too slow on a CPU to be of use; use fp32 or bf16")
    return _DTYPES[precision]

"""Models, methods and their options. Does not import torch, so that the commands print their help at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from persam_video.errors import InputError
from persam_video.messages import parameter

METHODS = {
    "appearance": "a classifier of each object's appearance, learned during tracking, with optical flow and SAM",
    "persam-f": "PerSAM-F as published: one embedding and two scale weights per object, the previous box, and SAM",
    "persam": "PerSAM as published: nothing is learned; SAM's attention is guided to the target",
}
DEFAULT_METHOD = "appearance"

IMAGE_METHODS = {
    "persam": "PerSAM: nothing is learned; SAM's attention is guided to the target",
    "persam-f": "PerSAM-F: two scale weights are learned per object",
}
"""Methods for single images, which have no previous frame."""
DEFAULT_IMAGE_METHOD = "persam"

MODELS = ("vit_t", "vit_b", "vit_l", "vit_h")
DEFAULT_MODEL = "vit_t"

PRECISIONS = ("auto", "fp32", "bf16", "fp16")

SIZES = (512, 768, 1024)
"""Longer sides of encoded frames, pixels; the last is SAM's own."""


WINDOWS = ("auto", "objects", "frame")
"""What is encoded of each frame (`ModelOptions.window`)."""


def check_method(name: str) -> None:
    """Raise InputError unless a tracking method has this name."""
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}; the methods are {', '.join(METHODS)}")


def check_model(sam: object) -> None:
    """Raise InputError unless it is a loaded model, not its name for example."""
    if not hasattr(sam, "decode"):
        raise InputError(f"sam is of the type {type(sam).__name__}; give a model, from load_sam")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Segment Anything model, and how it runs.

    Args:
        model: ``vit_t`` (MobileSAM), ``vit_b``, ``vit_l`` or ``vit_h``.
        checkpoint: local file of weights (.pt, .pth, .safetensors); None: the published ones, downloaded once into the
            user's cache.
        device: ``auto`` (CUDA, else MPS, else the CPU), or a torch device such as ``cuda:1``.
        precision: of the image encoder: ``fp32``, ``bf16``, ``fp16``, or ``auto`` (bf16 on CUDA, fp32 elsewhere).
        size: longer side of encoded frames in pixels: 1024 as in SAM, or 768 or 512, which is faster and coarser. A
            window has at most as many pixels as a whole frame of this size.
        window: what is encoded of each frame of a video: ``objects``, a window around all objects, as finely as they
            need; ``frame``, the whole frame; or ``auto``: ``objects`` for the method ``appearance`` on a CPU.
        exact_padding: pad frames with zeros to a square before they are encoded, as SAM itself does: exactly its
            features, for twice the work at 16:9.
        compile: compile the image encoder with `torch.compile`; the first frame then takes up to minutes. On a CPU it
            is slower than without (``tools/benchmark.py encoder --compile``).
        graphs: on CUDA, capture the work of a frame once and replay it for the next ones (CUDA graphs).
        batch: number of frames of a video to encode at once; None: 4 on CUDA, elsewhere 1.

    Raises:
        InputError: no such model, size or window, or a batch below 1.
    """

    model: str = DEFAULT_MODEL
    checkpoint: str | Path | None = None
    device: str = "auto"
    precision: str = "auto"
    size: int = SIZES[-1]
    window: str = WINDOWS[0]
    exact_padding: bool = False
    compile: bool = False
    graphs: bool = True
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise InputError(f"unknown model {self.model!r}; the models are {', '.join(MODELS)}")
        if self.size not in SIZES:
            raise InputError(f"{parameter('size', self.size)}: the sizes are {', '.join(map(str, SIZES))}")
        if self.window not in WINDOWS:
            raise InputError(f"{parameter('window', self.window)}: give {', '.join(WINDOWS[:-1])} or {WINDOWS[-1]}")
        if self.batch is not None and self.batch < 1:
            raise InputError(f"{parameter('batch', self.batch)}: it must be 1 or more")

    @classmethod
    def of(cls, model: str | ModelOptions, **changes: Any) -> ModelOptions:
        """Options of a model's name, or existing ones, with some of them changed.

        Raises:
            TypeError: there is no such option.
        """
        options = model if isinstance(model, ModelOptions) else cls(model)
        return replace(options, **changes)

    def encodes_windows(self, by_default: bool, device_type: str) -> bool:
        """Whether windows around the objects are encoded, not whole frames. By default only on a CPU, where it was
        measured, and not with ``compile``, which would compile every size of a window anew.

        Args:
            by_default: `Method.windows`.
            device_type: of the model's device.
        """
        if self.window == "auto":
            return by_default and device_type == "cpu" and not self.compile
        return self.window == "objects"

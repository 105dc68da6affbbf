"""Settings, code and environment that masks are made with, as recorded in ``run.json``."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from persam_video import __version__
from persam_video.options import DEFAULT_METHOD
from persam_video.sam.checkpoints import file_sha256
from persam_video.sam.models import Sam

_LIBRARIES = ("torch", "segment-anything", "numpy", "opencv-python-headless", "pillow")
# Parts of the package that no pixel of a mask depends on.
_IRRELEVANT_SOURCES = ("cli", "evaluation", "outputs", "__init__.py", "messages.py")


def settings_of(sam: Sam, method: str) -> dict[str, Any]:
    """Settings that determine the masks: equal settings give equal masks, up to rounding.

    ``checkpoint_sha256`` is the hash of the tensors, which is the same in every file that holds them; ``code_sha256``
    that of the package's sources that masks depend on, as these change between versions too.
    """
    return {
        "method": method,
        "model": sam.options.model,
        "checkpoint": sam.checkpoint.name if sam.checkpoint else None,
        "checkpoint_sha256": sam.weights_sha256,
        "precision": str(sam.dtype).removeprefix("torch."),
        "size": sam.options.size,
        "window": "objects" if sam.options.encodes_windows(method == DEFAULT_METHOD, sam.device.type) else "frame",
        "exact_padding": sam.options.exact_padding,
        "persam_video": __version__,
        "code_sha256": _code_sha256(),
    }


def environment_of(sam: Sam) -> dict[str, Any]:
    """Device and library versions that masks are computed with."""
    return {
        "device": {
            "type": sam.device.type,
            "name": torch.cuda.get_device_name(sam.device) if sam.device.type == "cuda" else processor_name(),
            "threads": torch.get_num_threads(),
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
    }


def files_sha256(paths: list[Path]) -> str:
    """SHA-256 of several files in this order, in hexadecimal."""
    return hashlib.sha256("".join(map(file_sha256, paths)).encode()).hexdigest()


def _code_sha256() -> str:
    package = Path(__file__).parents[1]
    sources = sorted(path.relative_to(package) for path in package.rglob("*.py"))
    return files_sha256([package / path for path in sources if path.parts[0] not in _IRRELEVANT_SOURCES])


def processor_name() -> str:
    """Model of the processor and its number of cores."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        name = platform.processor()
    return f"{name or platform.machine()}, {os.cpu_count()} cores"

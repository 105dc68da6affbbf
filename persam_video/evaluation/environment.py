"""Environment that masks are made in, as recorded in ``run.json``."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from persam_video.sam.models import Sam

_LIBRARIES = ("torch", "segment-anything", "numpy", "opencv-python-headless", "pillow")


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


def processor_name() -> str:
    """Model of the processor and its number of cores."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        name = platform.processor()
    return f"{name or platform.machine()}, {os.cpu_count()} cores"

"""What can be chosen. Apart, so that a command can list it without waiting for torch."""

from __future__ import annotations

METHODS = {
    "appearance": "a classifier of each object's appearance, learned as the video goes on, with optical flow and SAM",
    "persam-f": "PerSAM-F as published: one embedding and two scale weights an object, the previous box, and SAM",
    "persam": "PerSAM as published: nothing is learned; SAM's attention is guided to the target",
}
DEFAULT_METHOD = "appearance"

IMAGE_METHODS = {
    "persam": "PerSAM: nothing is learned; SAM's attention is guided to the target",
    "persam-f": "PerSAM-F: two scale weights are learned for every object",
}
"""For pictures by themselves, where there is no frame before."""
DEFAULT_IMAGE_METHOD = "persam"

MODELS = ("vit_t", "vit_b", "vit_l", "vit_h")
DEFAULT_MODEL = "vit_t"

SIZES = (512, 768, 1024)
"""What the longer side of frames can become before they are encoded, in pixels; the last is SAM's own."""

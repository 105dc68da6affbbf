"""The names of the tracking methods. Apart, so that a command can list them without waiting for torch."""

from __future__ import annotations

METHODS = {
    "appearance": "a classifier of each object's appearance, learned as the video goes on, with optical flow and SAM",
    "persam-f": "PerSAM-F as published: one embedding and two scale weights an object, the previous box, and SAM",
}
DEFAULT_METHOD = "appearance"

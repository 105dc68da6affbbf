"""Personalised targets in a file, so that their objects are found in another video without a mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import safetensors
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from persam_video.errors import InputError
from persam_video.files.atomic import check_writable, write_atomic
from persam_video.messages import one_line, parameter
from persam_video.options import METHODS
from persam_video.sam.checkpoints import file_sha256
from persam_video.sam.models import Sam

_FORMAT_NAME = "persam-video targets"
_FORMAT = f"{_FORMAT_NAME} 6"


@dataclass(frozen=True, eq=False, slots=True)
class SavedTargets:
    """Personalised objects, apart from any video.

    Args:
        method: name of the method that learned them (`persam_video.options.METHODS`).
        object_ids: id of each row of the state's tensors.
        state: `Method.state`.
    """

    method: str
    object_ids: tuple[int, ...]
    state: Mapping[str, Tensor]


def save_targets(path: str | Path, targets: SavedTargets, sam: Sam, *, overwrite: bool = False) -> None:
    """Write targets as safetensors, with the model that their features are of and the SHA-256 of its weights.

    Args:
        path: of the file.
        targets: `Tracker.targets`.
        sam: the tracker's model.
        overwrite: replace a file that exists.
    Raises:
        OutputError: the file exists or cannot be written; an existing file is left as it is.
    """
    path = Path(path)
    check_writable(path, overwrite=overwrite)
    object_ids = " ".join(map(str, targets.object_ids))
    metadata = {"format": _FORMAT, "method": targets.method, "object_ids": object_ids, **_model_of(sam)}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in targets.state.items()}
    write_atomic(path, safetensors.torch.save(state, metadata))


def load_targets(path: str | Path, sam: Sam) -> SavedTargets:
    """Read targets onto the model's device.

    Raises:
        InputError: the file does not hold targets, or they are of another model, other weights or another size.
    """
    path = Path(path)
    advice = f"give a file written by {parameter('save_targets')}"
    if not path.is_file():
        raise InputError(f"{path}: no such file; {advice}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).to(sam.device) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); {advice}") from error
    written_as = metadata.get("format", "")
    if not written_as.startswith(_FORMAT_NAME) or metadata.get("method") not in METHODS:
        raise InputError(f"{path}: holds no targets; {advice}")
    if written_as != _FORMAT:
        raise InputError(f"{path}: holds targets of another version of this program ({written_as}); save them anew")
    for name, value in _model_of(sam).items():
        if metadata.get(name) != value:
            raise InputError(
                f"{path}: its targets are of {name.replace('_', ' ')} {metadata.get(name)}, not {value}; "
                "track with that, or save them anew"
            )
    return SavedTargets(metadata["method"], tuple(map(int, metadata["object_ids"].split())), state)


def _model_of(sam: Sam) -> dict[str, str]:
    """Everything that features depend on, but for rounding and padding."""
    return {
        "model": sam.options.model,
        "weights": "none" if sam.checkpoint is None else _weights_sha256(sam.checkpoint),
        "size": str(sam.options.size),
    }


def _weights_sha256(path: Path) -> str:
    status = path.stat()
    return _cached_sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _cached_sha256(path: Path, size: int, modified_ns: int) -> str:
    """SHA-256 of weights, which can be gigabytes: computed once, while targets are saved after every annotation."""
    return file_sha256(path)

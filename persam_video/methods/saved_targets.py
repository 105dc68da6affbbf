"""Targets to keep: what was learned of objects, in a file, so that they are found in the next video without a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from persam_video.errors import InputError
from persam_video.files.atomic import write_atomic
from persam_video.messages import one_line
from persam_video.options import METHODS
from persam_video.sam.checkpoints import file_sha256
from persam_video.sam.models import Sam

_FORMAT = "persam-video targets 5"


@dataclass(frozen=True, eq=False, slots=True)
class SavedTargets:
    """Objects that are known from elsewhere.

    Args:
        method: which learned them.
        object_ids: theirs.
        state: what the method knows of them (`Method.state`).
    """

    method: str
    object_ids: tuple[int, ...]
    state: Mapping[str, Tensor]


def targets_writer(path: Path, sam: Sam) -> Callable[[SavedTargets], None]:
    """What writes targets as safetensors, with the model whose features they are of and the SHA-256 of its weights.

    It may be called again as further objects are learned; the weights, which can be gigabytes, are hashed once.

    Raises (when it is called):
        OutputError: it cannot be written; what was under the name before is left as it is.
    """
    model = _model(sam)

    def write(targets: SavedTargets) -> None:
        object_ids = " ".join(map(str, targets.object_ids))
        metadata = {"format": _FORMAT, "method": targets.method, "object_ids": object_ids, **model}
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in targets.state.items()}
        write_atomic(path, safetensors.torch.save(state, metadata))

    return write


def load_targets(path: Path, sam: Sam) -> SavedTargets:
    """Read targets.

    Raises:
        InputError: the file is none of targets, or they are of another model, of other weights or of another size.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give what --save-targets has written")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).to(sam.device) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); give what --save-targets has written") from error
    if metadata.get("format") != _FORMAT or metadata.get("method") not in METHODS:
        raise InputError(f"{path}: holds no targets; give what --save-targets has written")
    for name, value in _model(sam).items():
        if metadata.get(name) != value:
            raise InputError(
                f"{path}: its targets are of {name.replace('_', ' ')} {metadata.get(name)}, not {value}; "
                "track with that, or save them anew"
            )
    return SavedTargets(metadata["method"], tuple(map(int, metadata["object_ids"].split())), state)


def _model(sam: Sam) -> dict[str, str]:
    """What features depend on, but for rounding and what they have seen of the padding."""
    return {
        "model": sam.options.model,
        "weights": file_sha256(sam.checkpoint) if sam.checkpoint else "none",
        "size": str(sam.options.size),
    }

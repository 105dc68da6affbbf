"""Personalised targets in a file, so that their objects are found in another video without a mask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from persam_video.errors import InputError
from persam_video.files.atomic import check_writable, write_atomic
from persam_video.files.json_file import shortened
from persam_video.files.regular_file import check_regular_file
from persam_video.frame import MAX_OBJECT_ID
from persam_video.inputs.names import check_names
from persam_video.messages import one_line, parameter
from persam_video.methods.registry import check_state
from persam_video.options import METHODS
from persam_video.runtime.ambient import isolated
from persam_video.sam.models import Sam, has_weights
from persam_video.sam.state_dicts import tensors_sha256

_FORMAT_NAME = "persam-video targets"
_FORMAT = f"{_FORMAT_NAME} 7"
_FORMAT_OF_FILE_HASHES = f"{_FORMAT_NAME} 6"
"""The same, but for ``weights``, which is the SHA-256 of a file, and without ``tensors_sha256``."""


@dataclass(frozen=True, eq=False, slots=True)
class SavedTargets:
    """Personalised objects, apart from any video.

    Args:
        method: name of the method that learned them (`persam_video.options.METHODS`).
        object_ids: id of each row of the state's tensors.
        state: `Method.state`.
        names: of the objects that have one, by id.
    """

    method: str
    object_ids: tuple[int, ...]
    state: Mapping[str, Tensor]
    names: Mapping[int, str] = field(default_factory=dict)

    def check(self, name: str = "the targets") -> None:
        """Raise InputError unless a `Tracker` can start with them.

        Args:
            name: of the targets in the error.
        """
        ids = self.object_ids
        is_valid = all(isinstance(i, int) and not isinstance(i, bool) and 1 <= i <= MAX_OBJECT_ID for i in ids)
        if not ids or not is_valid or len(set(ids)) < len(ids):
            given = shortened(" ".join(map(str, ids))) or "none"
            raise InputError(
                f"{name}: the object ids should be different numbers from 1 to {MAX_OBJECT_ID}, not {given}"
            )
        check_names(self.names, source=f"{name}: ")
        check_state(self.method, self.state, objects=len(ids), name=name)


@isolated()
def save_targets(path: str | Path, targets: SavedTargets, sam: Sam, *, overwrite: bool = False) -> None:
    """Write targets as safetensors, with the model that their features are of and the hash of its weights.

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
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in targets.state.items()}
    metadata = {
        "format": _FORMAT,
        "method": targets.method,
        "object_ids": " ".join(map(str, targets.object_ids)),
        "tensors_sha256": tensors_sha256(state),
        "model": sam.options.model,
        "size": str(sam.options.size),
        "weights": _weights_of(sam),
        **({"names": json.dumps(targets.names)} if targets.names else {}),
    }
    write_atomic(path, safetensors.torch.save(state, metadata))


@isolated()
def load_targets(path: str | Path, sam: Sam) -> SavedTargets:
    """Read targets onto the model's device.

    Raises:
        InputError: the file does not hold targets, is damaged, or they are of another model, other weights or another
            size.
    """
    targets, metadata = _read(path)
    # Everything that features depend on, but for rounding and padding.
    wanted = {"model": sam.options.model, "size": str(sam.options.size), "weights": _weights_of(sam)}
    for name, value in wanted.items():
        found = metadata[name]
        if found != value and not (name == "weights" and has_weights(sam, found)):
            raise InputError(
                f"{path}: its targets are of {name} {shortened(found)}, not {shortened(value)}; "
                "track with that, or save them anew"
            )
    state = {name: tensor.to(sam.device) for name, tensor in targets.state.items()}
    return replace(targets, state=state)


def check_targets(path: str | Path) -> None:
    """Check a file of targets as far as that needs no model.

    Raises:
        InputError: it does not hold targets, or is damaged.
    """
    _read(path)


@isolated()
def _read(path: str | Path) -> tuple[SavedTargets, dict[str, str]]:
    """Targets of a file, on the CPU, and the file's metadata."""
    advice = f"give a file written by {parameter('save_targets')}"
    if not isinstance(path, (str, PathLike)):
        raise InputError(f"{parameter('targets')} are of the type {type(path).__name__}; {advice}")
    check_regular_file(path, InputError, wanted=f"a file written by {parameter('save_targets')}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # of a damaged header safetensors raises anything
        raise InputError(f"{path}: cannot be read ({one_line(error)}); {advice}") from error
    written_as, method = metadata.get("format", ""), metadata.get("method", "")
    if not written_as.startswith(_FORMAT_NAME) or method not in METHODS:
        raise InputError(f"{path}: holds no targets; {advice}")
    if written_as not in (_FORMAT, _FORMAT_OF_FILE_HASHES):
        raise InputError(
            f"{path}: holds targets of another version of this program ({shortened(written_as)}); save them anew"
        )
    expected = ["object_ids", "model", "size", "weights", *(["tensors_sha256"] if written_as == _FORMAT else [])]
    missing = [name for name in expected if name not in metadata]
    if missing:
        raise InputError(f"{path}: its {missing[0].replace('_', ' ')} are missing; {advice}")
    names = _parse_names(metadata.get("names", "{}"), path)
    targets = SavedTargets(method, _parse_ids(metadata["object_ids"], path), state, names)
    targets.check(str(path))
    if written_as == _FORMAT and tensors_sha256(state) != metadata["tensors_sha256"]:
        raise InputError(f"{path}: is damaged (its tensors are not those that were saved); save them anew")
    return targets, metadata


def _parse_ids(text: str, path: str | Path) -> tuple[int, ...]:
    numbers = text.split()
    if not all(each.isascii() and each.isdecimal() and len(each) <= 3 for each in numbers):
        raise InputError(f"{path}: the object ids should be numbers, not {shortened(text)}; save the targets anew")
    return tuple(map(int, numbers))


def _parse_names(text: str, path: str | Path) -> dict[int, str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path}: the names should be a JSON object, not {shortened(text)}; save the targets anew")
    return check_names(content, source=f"{path}: ")


def _weights_of(sam: Sam) -> str:
    return sam.weights_sha256 or "none"

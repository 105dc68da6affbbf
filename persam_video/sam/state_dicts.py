"""State dicts: read from files of which nothing is trusted, and their hash, which is the same in every file format."""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from persam_video.errors import CheckpointError
from persam_video.files.json_file import shortened
from persam_video.files.regular_file import check_regular_file
from persam_video.messages import one_line
from persam_video.sam.mobile_sam import StateDict

_WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Keys under which training scripts save the state dict beside the optimiser's."""
_MAX_REASON = 200


def load_state_dict(path: str | Path) -> StateDict:
    """State dict of a file: ``.safetensors``, or a torch file of tensors only. Pickled code is never run.

    Raises:
        CheckpointError: there is no such file, it cannot be read, or it is no state dict of plain tensors.
    """
    check_regular_file(path, CheckpointError, wanted="a file of weights (.pt, .pth or .safetensors)")
    try:
        content = _read(Path(path))
    except Exception as error:  # damaged pickles raise anything
        raise CheckpointError(
            f"{path}: cannot be read as weights ({_reason(error)}); "
            "it should be a .safetensors file or a torch file that holds tensors only"
        ) from error
    if isinstance(content, dict):
        content = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), content)
    fault = _fault(content)
    if fault is not None:
        raise CheckpointError(f"{path}: holds no state dict ({fault}); it should map parameter names to tensors")
    return dict(content)


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, dtypes, shapes and values, whatever their order and the file that they are from: 64 hexadecimal
    digits. It takes 20 ms for the weights of ``vit_t``, a second or two for those of ``vit_h``."""
    names = sorted(state)
    with ThreadPoolExecutor() as threads:  # hashing releases the lock of the interpreter
        hashes = list(threads.map(_tensor_sha256, (state[name] for name in names)))
    lines = (
        f"{name} {state[name].dtype} {tuple(state[name].shape)} {value}\n"
        for name, value in zip(names, hashes, strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _tensor_sha256(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().flatten()
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()


def _read(path: Path) -> Any:
    if path.suffix.lower() == ".safetensors":
        return load_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(each.file_size for each in archive.infolist()) > path.stat().st_size:
                # torch compresses nothing, and would unpack a few kilobytes to terabytes.
                raise ValueError("its parts are larger than itself")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old formats
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """What is wrong with a file, without torch's advice, which is to run code that it holds."""
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or holds other objects than tensors"
    if isinstance(error, EOFError):
        return "it is empty or cut short"
    reason = one_line(error).split(". ")[0]
    return reason if len(reason) <= _MAX_REASON else f"{reason[: _MAX_REASON - 1]}…"


def _fault(content: Any) -> str | None:
    """Why a file's content is no state dict of plain tensors; None: it is one."""
    if not isinstance(content, dict):
        return f"it is of the type {type(content).__name__}"
    if not content:
        return "it is empty"
    for name, value in content.items():
        if not isinstance(name, str):
            return f"the name {shortened(name)} is no text"
        if not isinstance(value, Tensor):
            return f"{shortened(name)} is no tensor"
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            return f"{shortened(name)} is a sparse, quantised or meta tensor"
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            return f"{shortened(name)} repeats its values"  # of a few bytes it could make terabytes
    return None

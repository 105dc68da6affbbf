"""Hashes of files."""

from __future__ import annotations

import hashlib
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb", buffering=0) as file:
        return stream_sha256(file)


def stream_sha256(file: BinaryIO | RawIOBase) -> str:
    """SHA-256 of what can be read of an open file, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def files_sha256(paths: list[Path]) -> str:
    """SHA-256 of several files in this order, in hexadecimal."""
    return hashlib.sha256("".join(map(file_sha256, paths)).encode()).hexdigest()

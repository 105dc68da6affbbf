"""Settings of the C library's heap and of Python's garbage collector, for the whole process."""

from __future__ import annotations

import atexit
import ctypes
import gc
import platform
from functools import lru_cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGEST_THRESHOLD = 1 << 30
_GC_THRESHOLD = 100_000


def keep_freed_memory() -> None:
    """Keep freed memory in the process instead of returning it to the operating system.

    An encoder on a CPU allocates and frees the same tens of megabytes some hundred times a frame. By default glibc asks
    the system for each of them, which must clear every page: a quarter of the encoder's time. With this setting the
    process stays as large as it was at its largest. It does nothing where the C library is not glibc. The commands call
    it when they begin; a program that uses this package may.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_ARENA_MAX, 1)  # other arenas are too small for large blocks
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD - 1)


@lru_cache(maxsize=1)
def collect_garbage_rarely() -> None:
    """Let Python collect cyclic garbage only once in many thousand new objects, and not when the process exits.

    By default it traverses all objects again and again while torch creates hundreds of thousands of them, and once more
    at exit: more than a second in all. Tracking creates hardly any cyclic garbage.
    """
    gc.set_threshold(_GC_THRESHOLD)
    atexit.register(gc.freeze)


def release_free_memory() -> None:
    """Return all free memory to the operating system, once; the next frame allocates it again.

    Called now and then, it keeps a process from growing over many thousand frames as its heap is fragmented.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@lru_cache(maxsize=1)
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None

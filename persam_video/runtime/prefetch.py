"""Threads with bounded queues: prefetching, parallel mapping and background writing. Their exceptions reach the
caller."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


def prefetch(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """The same items, taken from ``items`` in a thread, at most ``depth`` ahead.

    An exception of ``items`` is raised here, after the items before it. Closing this generator closes ``items`` in its
    thread, and ends the thread.
    """
    pending: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()

    def work() -> None:
        end = _End()
        try:
            with closing(items):
                for item in items:
                    if not _put(pending, item, stop):
                        return
        except BaseException as error:
            end = _End(error)
        _put(pending, end, stop)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := pending.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()


def map_ahead(
    function: Callable[[T], U], items: Generator[T, None, None], workers: int, depth: int | None = None
) -> Generator[tuple[T, U], None, None]:
    """The same items in their order, each with the result of ``function``, which several threads compute ahead.

    Args:
        depth: number of items taken from ``items`` in this thread before the first result is returned, and then kept;
            None: one more than workers.

    An exception of ``function`` or of ``items`` is raised here, after the items before it.
    """
    pending: deque[tuple[T, Future[U]]] = deque()
    end: BaseException | None = None
    depth = workers + 1 if depth is None else depth
    with closing(items), ThreadPoolExecutor(workers, "map_ahead") as threads:
        while pending or end is None:
            while len(pending) < depth and end is None:
                try:
                    item = next(items)
                    pending.append((item, threads.submit(function, item)))
                except BaseException as error:
                    end = error
            if pending:
                item, result = pending.popleft()
                yield item, result.result()
    if not isinstance(end, StopIteration):
        raise end


def batched(items: Iterable[T], size: int) -> Generator[list[T], None, None]:
    """The same items in lists of ``size``; the last may be shorter.

    An exception of ``items`` is raised here, after the items before it.
    """
    source = iter(items)
    end: Exception | None = None
    while end is None:
        batch: list[T] = []
        try:
            while len(batch) < size:
                batch.append(next(source))
        except Exception as error:
            end = error
        if batch:
            yield batch
    if not isinstance(end, StopIteration):
        raise end


def delayed(items: Generator[T, None, None], count: int) -> Generator[T, None, None]:
    """The same items, each of which is taken from ``items`` when ``count`` before it have been used."""
    waiting: deque[T] = deque()
    with closing(items):
        try:
            for item in items:
                waiting.append(item)
                if len(waiting) > count:
                    yield waiting.popleft()
        except Exception:
            yield from waiting  # those before the error
            raise
        yield from waiting


class BackgroundWriter(Generic[T]):
    """A thread that calls ``write`` with one item after another, at most ``depth`` behind, and ``finish`` at the end.

    Their exceptions are raised by the next `put` or by `close`; nothing is written after that.
    """

    def __init__(self, write: Callable[[T], None], finish: Callable[[], None], depth: int) -> None:
        self._write = write
        self._finish = finish
        self._pending: queue.Queue[T | _End] = queue.Queue(depth)
        self._stop = threading.Event()
        self._is_abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="background writer", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Queue an item; blocks while the queue is full."""
        if not _put(self._pending, item, self._stop):
            self.close()

    def close(self) -> None:
        """Block until everything is written and finished. May be repeated, after Ctrl-C for example."""
        _put(self._pending, _End(), self._stop)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """End without finishing, and without raising what went wrong."""
        self._is_abandoned = True
        _put(self._pending, _End(), self._stop)
        self._thread.join()

    def _work(self) -> None:
        try:
            while not isinstance(item := self._pending.get(), _End):
                self._write(item)
            if not self._is_abandoned:
                self._finish()
        except BaseException as error:
            self._error = error
        self._stop.set()


def _put(pending: queue.Queue[T | _End], item: T | _End, stop: threading.Event) -> bool:
    """Put an item into a queue once there is room; False if the other side has stopped before."""
    while not stop.is_set():
        try:
            pending.put(item, timeout=_POLL_SECONDS)
            return True
        except queue.Full:
            continue
    return False

"""Reading ahead, in batches, and writing behind: threads with bounded queues, whose errors reach the caller."""

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

    What ``items`` raises is raised here, after the items before it. When this generator is closed, ``items`` is, in its
    thread, which ends.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()

    def work() -> None:
        end = _End()
        try:
            with closing(items):
                for item in items:
                    if not _offer(waiting, item, stop):
                        return
        except BaseException as error:
            end = _End(error)
        _offer(waiting, end, stop)

    thread = threading.Thread(target=work, name="read ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()


def map_ahead(
    function: Callable[[T], U], items: Generator[T, None, None], workers: int
) -> Generator[tuple[T, U], None, None]:
    """The same items in their order, each with what ``function`` makes of it in one of several threads, which are at
    work on the next ``workers`` items meanwhile. What it or ``items`` raises is raised here, in its turn."""
    waiting: deque[tuple[T, Future[U]]] = deque()
    end: BaseException | None = None
    with closing(items), ThreadPoolExecutor(workers, "work ahead") as threads:
        while waiting or end is None:
            while len(waiting) <= workers and end is None:
                try:
                    item = next(items)
                    waiting.append((item, threads.submit(function, item)))
                except BaseException as error:
                    end = error
            if waiting:
                item, made = waiting.popleft()
                yield item, made.result()
    if not isinstance(end, StopIteration):
        raise end


def batched(items: Iterable[T], size: int) -> Generator[list[T], None, None]:
    """The same items, ``size`` at a time; the last may be fewer. What ``items`` raises is raised here, after those
    before it."""
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


class BackgroundWriter(Generic[T]):
    """Calls ``write`` with one item after another in a thread, at most ``depth`` behind, and ``finish`` at the end.

    What they raise is raised by the next `put` or by `close`; nothing is written after that.
    """

    def __init__(self, write: Callable[[T], None], finish: Callable[[], None], depth: int) -> None:
        self._write = write
        self._finish = finish
        self._waiting: queue.Queue[T | _End] = queue.Queue(depth)
        self._stop = threading.Event()
        self._is_abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="write behind", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand an item over; waits while the queue is full."""
        if not _offer(self._waiting, item, self._stop):
            self.close()

    def close(self) -> None:
        """Wait until everything is written and finished. May be repeated, after Ctrl-C for example."""
        _offer(self._waiting, _End(), self._stop)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """End without finishing; what went wrong is not raised."""
        self._is_abandoned = True
        _offer(self._waiting, _End(), self._stop)
        self._thread.join()

    def _work(self) -> None:
        try:
            while not isinstance(item := self._waiting.get(), _End):
                self._write(item)
            if not self._is_abandoned:
                self._finish()
        except BaseException as error:
            self._error = error
        self._stop.set()


def _offer(waiting: queue.Queue[T | _End], item: T | _End, stop: threading.Event) -> bool:
    """Put an item into a queue unless the other side has stopped."""
    while not stop.is_set():
        try:
            waiting.put(item, timeout=_POLL_SECONDS)
            return True
        except queue.Full:
            continue
    return False

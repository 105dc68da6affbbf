"""Prefetching and background writing: bounded, in order, and no exception is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable
from typing import TypeVar

import pytest

from persam_video.runtime.prefetch import BackgroundWriter, batched, delayed, map_ahead, prefetch

T = TypeVar("T")


def wait_for(condition: object, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def numbers(count: int) -> Generator[int, None, None]:
    yield from range(count)


def until_error(items: Iterable[T], error: type[Exception], match: str) -> list[T]:
    """The items before one that raises, which one must."""
    got = []
    with pytest.raises(error, match=match):
        for item in items:
            got.append(item)  # noqa: PERF402
    return got


class TestBatched:
    @pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (3, [3]), (7, [3, 3, 1])])
    def test_order_and_end(self, count: int, sizes: list[int]) -> None:
        batches = list(batched(numbers(count), 3))
        assert [len(batch) for batch in batches] == sizes
        assert [item for batch in batches for item in batch] == list(range(count))

    def test_no_item_more_than_those_of_the_batch_is_taken(self) -> None:
        items = iter(range(50))
        assert next(batched(items, 3)) == [0, 1, 2]
        assert next(items) == 3

    def test_an_error_comes_after_the_items_before_it(self) -> None:
        def items() -> Generator[int, None, None]:
            yield from range(5)
            raise ValueError("broken")

        assert until_error(batched(items(), 3), ValueError, "broken") == [[0, 1, 2], [3, 4]]


class TestDelayed:
    def test_each_item_comes_when_a_few_after_it_were_taken(self) -> None:
        taken: list[int] = []

        def items() -> Generator[int, None, None]:
            for number in range(5):
                taken.append(number)
                yield number

        assert [(item, len(taken)) for item in delayed(items(), 2)] == [(0, 3), (1, 4), (2, 5), (3, 5), (4, 5)]

    def test_an_error_comes_after_the_items_before_it(self) -> None:
        def items() -> Generator[int, None, None]:
            yield from range(4)
            raise ValueError("broken")

        assert until_error(delayed(items(), 2), ValueError, "broken") == [0, 1, 2, 3]


class TestPrefetch:
    def test_order_and_end(self) -> None:
        assert list(prefetch(numbers(100), 3)) == list(range(100))

    def test_it_is_never_more_than_the_depth_ahead(self) -> None:
        taken = []

        def items() -> Generator[int, None, None]:
            for i in range(50):
                taken.append(i)
                yield i

        ahead = prefetch(items(), 3)
        assert next(ahead) == 0
        time.sleep(0.3)
        assert len(taken) <= 1 + 3 + 1  # yielded, queued, and in the thread
        ahead.close()

    def test_an_error_comes_after_the_items_before_it(self) -> None:
        def items() -> Generator[int, None, None]:
            yield 1
            yield 2
            raise ValueError("broken")

        assert until_error(prefetch(items(), 5), ValueError, "broken") == [1, 2]

    def test_closing_ends_the_thread(self) -> None:
        before = threading.active_count()
        ahead = prefetch(numbers(1000), 2)
        next(ahead)
        ahead.close()
        assert threading.active_count() == before

    def test_closing_closes_the_items_in_the_thread(self) -> None:
        closed_by = []

        def items() -> Generator[int, None, None]:
            try:
                yield from range(1000)
            finally:
                closed_by.append(threading.current_thread().name)

        ahead = prefetch(items(), 2)
        next(ahead)
        ahead.close()
        assert closed_by == ["prefetch"]


class TestMapAhead:
    def test_order_though_some_take_longer(self) -> None:
        def square(number: int) -> int:
            time.sleep(0.02 * (number % 3))
            return number * number

        assert list(map_ahead(square, numbers(20), 3)) == [(i, i * i) for i in range(20)]

    def test_parallel_but_no_more_than_the_workers_ahead(self) -> None:
        begun: list[int] = []
        together = threading.Barrier(3)

        def work(number: int) -> None:
            begun.append(number)
            if number < 3:
                together.wait(timeout=5)  # only all three of them come past here

        ahead = map_ahead(work, numbers(50), 3)
        assert next(ahead) == (0, None)
        assert wait_for(lambda: len(begun) == 4)
        time.sleep(0.1)
        assert sorted(begun) == [0, 1, 2, 3]
        ahead.close()

    def test_an_error_of_the_items_comes_after_the_items_before_it(self) -> None:
        def items() -> Generator[int, None, None]:
            yield from range(2)
            raise ValueError("broken")

        assert until_error(map_ahead(str, items(), 5), ValueError, "broken") == [(0, "0"), (1, "1")]

    def test_an_error_of_the_function_comes_after_the_items_before_it(self) -> None:
        def work(number: int) -> int:
            return 6 // (3 - number)

        got = until_error(map_ahead(work, numbers(9), 4), ZeroDivisionError, "zero")
        assert [result for _, result in got] == [2, 3, 6]

    def test_closing_closes_the_items_and_ends_the_threads(self) -> None:
        closed = []

        def items() -> Generator[int, None, None]:
            try:
                yield from range(100)
            finally:
                closed.append(True)

        before = threading.active_count()
        ahead = map_ahead(str, items(), 2)
        next(ahead)
        ahead.close()
        assert closed == [True]
        assert threading.active_count() == before


class TestBackgroundWriter:
    def test_everything_is_written_in_order(self) -> None:
        written: list[int] = []
        writer = BackgroundWriter(written.append, lambda: written.append(-1), 2)
        for i in range(50):
            writer.put(i)
        writer.close()
        assert written == [*range(50), -1]

    def test_an_error_is_raised_by_put(self) -> None:
        def write(item: int) -> None:
            if item == 3:
                raise OSError("disk full")

        writer = BackgroundWriter(write, lambda: None, 2)
        with pytest.raises(OSError, match="disk full"):
            for i in range(1000):
                writer.put(i)
        assert wait_for(lambda: not writer._thread.is_alive())

    def test_an_error_in_the_last_item_is_raised_by_close(self) -> None:
        def write(item: int) -> None:
            raise OSError("disk full")

        writer = BackgroundWriter(write, lambda: None, 2)
        writer.put(1)
        with pytest.raises(OSError, match="disk full"):
            writer.close()

    def test_it_is_not_finished_after_an_error(self) -> None:
        finished: list[bool] = []

        def write(item: int) -> None:
            raise OSError("disk full")

        writer = BackgroundWriter(write, lambda: finished.append(True), 2)
        writer.put(1)
        with pytest.raises(OSError, match="disk full"):
            writer.close()
        assert finished == []

    def test_closing_may_be_repeated(self) -> None:
        written: list[int] = []
        writer = BackgroundWriter(written.append, lambda: written.append(-1), 2)
        writer.put(1)
        writer.close()
        writer.close()
        assert written == [1, -1]

    def test_abandoning_does_not_finish(self) -> None:
        written: list[int] = []
        writer = BackgroundWriter(written.append, lambda: written.append(-1), 2)
        writer.put(1)
        writer.abandon()
        assert written == [1]
        assert not writer._thread.is_alive()

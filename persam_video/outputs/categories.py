"""Categories of objects in label files."""

from __future__ import annotations

from persam_video.result import FrameResult


def name_of(result: FrameResult, object_id: int) -> str:
    """Name of an object, or else ``object`` and its id."""
    return result.names.get(object_id, f"object {object_id}")


class Categories:
    """Categories by name, numbered from ``first`` in the order in which they are met. Objects of one name share one."""

    def __init__(self, first: int = 1) -> None:
        self._first = first
        self._numbers: dict[str, int] = {}

    def number(self, result: FrameResult, object_id: int) -> int:
        """Number of an object's category."""
        return self._numbers.setdefault(name_of(result, object_id), self._first + len(self._numbers))

    def items(self) -> list[tuple[int, str]]:
        """Numbers and names."""
        return [(number, name) for name, number in self._numbers.items()]

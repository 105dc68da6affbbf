"""Work on a GPU that is recorded once and then played again: the many small kernels of a frame are started by one call
(CUDA graphs), which takes less time than starting each."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Generic, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from persam_video.messages import one_line
from persam_video.runtime.constants import constants_used
from persam_video.runtime.streams import StreamSerializer, capture_stream

P = ParamSpec("P")
R = TypeVar("R")

Capture = Callable[[Callable[[], Any]], tuple[Any, Callable[[], None]]]
"""Records what a function does with tensors that stay where they are: its result, and what does all of it once more,
from what is then in the tensors it was given, into those of the result."""

CAPTURE_AT_CALL = 8
"""Pictures of many sizes, each of which comes once, are not worth recording; and by then all threads have set up the
libraries they use, which can spoil what another records meanwhile."""
_SAME = 0.01
"""Of the length of what is expected, played work may be off: sums may be added up in another order."""
_WARM_UPS = 2
_one_at_a_time = threading.Lock()


class GraphedCallable(Generic[P, R]):
    """A function that is recorded when tensors of the same shapes come for the eighth time in a row, and then played.
    It may be called in several threads.

    What it returns is the same: before it is relied on, what is played is compared with what the function returns.
    Where that fails, there is a warning, and everything goes on without.

    Args:
        function: of tensors, or tuples and dataclasses of them, and of numbers, to the like. It must not change
            anything, nor need any number of a tensor before it returns. Tensors it was given must not change later:
            what comes again is taken to be the same. What else it uses must stay where it
            is, as a `device_constant` does.
        capture: `capture_cuda_graph` on a device, or the like; None: nothing is recorded.
    """

    def __init__(self, function: Callable[P, R], capture: Capture | None) -> None:
        self._function = function
        self._capture = capture
        self._seen: tuple[Any, int] = (None, 0)  # the shapes that came last, and how often
        self._captured: _CapturedCall | None = None
        self._lock = threading.Lock()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function returns."""
        if self._capture is None:
            return self._function(*args, **kwargs)
        with self._lock:  # all who play it use the same memory
            return self._captured_call(self._capture, *args, **kwargs)

    def _captured_call(self, capture: Capture, *args: P.args, **kwargs: P.kwargs) -> R:
        given = (args, tuple(kwargs.items()))
        shapes = _shapes(given)
        times = self._seen[1] + 1 if self._seen[0] == shapes else 1
        self._seen = (shapes, times)
        if times == CAPTURE_AT_CALL:
            return self._start(capture, *args, **kwargs)
        if times > CAPTURE_AT_CALL and self._captured is not None:
            return cast(R, self._captured.replay(given))
        self._captured = None
        return self._function(*args, **kwargs)

    def _start(self, capture: Capture, *args: P.args, **kwargs: P.kwargs) -> R:
        """Capture what the function does, and compare."""
        expected = self._function(*args, **kwargs)
        given = (args, tuple(kwargs.items()))
        try:
            with _one_at_a_time:
                captured = _CapturedCall(self._function, given, capture)
            problem = _difference(_tensors(captured.replay(given)), _tensors(expected))
        except RuntimeError as error:
            problem = one_line(error)
        if problem is None:
            self._captured = captured
        else:
            self._capture = None
            warnings.warn(f"CUDA graphs are not used, which may be slower: {problem}", stacklevel=2)
        return expected


class _CapturedCall:
    """What a function does with copies of what it is given."""

    def __init__(self, function: Callable[..., Any], given: Any, capture: Capture) -> None:
        # Inference mode's tensors could not be written to outside of it.
        with torch.inference_mode(False), torch.no_grad(), constants_used() as self._tables:
            self._inputs = [each.clone() for each in _tensors(given)]
            args, kwargs = _filled(given, iter(self._inputs))
            self._result, self._run = capture(lambda: function(*args, **dict(kwargs)))
        self._serializer = StreamSerializer()
        self._given: list[Tensor | None] = [None] * len(self._inputs)  # the last time
        places = {id(mine): place for place, mine in enumerate(self._inputs)}
        self._handed_on = [places.get(id(each)) for each in _tensors(self._result)]

    def replay(self, given: Any) -> Any:
        """The function's result. What is given as it was the last time is not copied again, and what is handed on not
        at all."""
        theirs = _tensors(given)
        news = zip(theirs, self._inputs, self._given, strict=True)
        with self._serializer.exclusive(self._inputs[0].device):
            _copy([(each, mine) for each, mine, before in news if each is not before])
            self._given = [*theirs]
            self._run()
            made = [each for each, place in zip(_tensors(self._result), self._handed_on, strict=True) if place is None]
            copies = [torch.empty_like(each) for each in made]
            _copy([*zip(made, copies, strict=True)])
        rest = iter(copies)
        return _filled(self._result, iter([next(rest) if i is None else theirs[i] for i in self._handed_on]))


def _copy(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Copy the first of each pair into the second; all of one type are started together."""
    for dtype in {each.dtype for each, _ in pairs}:
        some = [pair for pair in pairs if pair[0].dtype == dtype]
        torch._foreach_copy_([target for _, target in some], [source for source, _ in some])


def capture_cuda_graph(device: torch.device, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
    """`Capture` on a CUDA device."""
    gc.collect()  # a recording that is freed while another is made spoils that
    # The inner stream is not left by itself where recording fails.
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
        stream = capture_stream(device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # what libraries and the allocator set up at first is not recorded
            for _ in range(_WARM_UPS):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads, which read or encode ahead, may go on meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            result = work()
    return result, graph.replay


def _difference(got: Sequence[Tensor], expected: Sequence[Tensor]) -> str | None:
    """What is wrong with what was played, or None."""
    for one, other in zip(got, expected, strict=True):
        length, off = (each.double().norm().item() for each in (other, one.double() - other.double()))
        if not off <= _SAME * length:
            return f"what is played is off by {off:.2g} of {length:.2g}"
    return None


def _tensors(tree: Any) -> list[Tensor]:
    """All tensors of tuples and dataclasses, in order."""
    return [tree] if isinstance(tree, Tensor) else [tensor for each in _parts(tree) for tensor in _tensors(each)]


def _shapes(tree: Any) -> Any:
    """What is the same of two trees that one recording does for: all but the numbers in tensors."""
    if isinstance(tree, Tensor):
        return tree.shape, tree.dtype, tree.device
    parts = _parts(tree)
    return (type(tree), tuple(map(_shapes, parts))) if parts else tree


def _filled(tree: Any, tensors: Iterator[Tensor]) -> Any:
    """The same tree with other tensors."""
    if isinstance(tree, Tensor):
        return next(tensors)
    parts = [_filled(each, tensors) for each in _parts(tree)]
    if isinstance(tree, tuple):
        return tuple(parts)
    return type(tree)(*parts) if parts else tree


def _parts(tree: Any) -> Sequence[Any]:
    if isinstance(tree, tuple):
        return tree
    return [getattr(tree, field.name) for field in fields(tree)] if is_dataclass(tree) else ()

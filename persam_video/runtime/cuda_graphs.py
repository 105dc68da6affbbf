"""CUDA graphs: the many small kernels of a frame are captured once and then replayed by one launch, which takes less
time than launching each."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Generic, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from persam_video.messages import one_line
from persam_video.runtime.constants import constants_used
from persam_video.runtime.streams import StreamSerializer, capture_stream

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

Capture = Callable[[Callable[[], Any]], tuple[Any, Callable[[], None]]]
"""Captures a function of no arguments, which works on fixed tensors: returns its result and a function that replays it,
from the present values of its input tensors into the tensors of the result."""

CAPTURE_AT_CALL = 8
"""Images of many sizes, each of which comes once, are not worth a capture; and by then all threads have initialised the
libraries they use, which can invalidate a capture in another thread."""
_TOLERANCE = 0.01
"""Largest deviation of a replay from the direct call, relative to the norm of its result: sums may be added up in
another order."""
_WARM_UPS = 2
_capture_lock = threading.Lock()


class GraphedCallable(Generic[P, R]):
    """A function that is captured when tensors of the same shapes come for the eighth time in a row, and replayed from
    then on. Several threads may call it.

    It returns the same as the function: the first replay is compared with a direct call. If the capture or the
    comparison fails, a warning is logged and the function is always called directly.

    Args:
        function: of tensors, or tuples and dataclasses of them, and of numbers, to the like. It must have no side
            effects and must not synchronise with the host. Its input tensors must not be changed later: a tensor that
            is passed again is taken to hold the same values. Other tensors it uses must stay at their addresses,
            as a `device_constant` does.
        capture: `capture_cuda_graph` for a device, or the like; None: the function is always called directly.
    """

    def __init__(self, function: Callable[P, R], capture: Capture | None) -> None:
        self._function = function
        self._capture = capture
        self._last_signature: Any = None
        self._repeats = 0  # calls in a row with that signature
        self._captured: _CapturedCall | None = None
        self._lock = threading.Lock()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Result of the function."""
        if self._capture is None:
            return self._function(*args, **kwargs)
        with self._lock:  # all replays share the same memory
            return self._call_captured(self._capture, *args, **kwargs)

    def _call_captured(self, capture: Capture, *args: P.args, **kwargs: P.kwargs) -> R:
        inputs = (args, tuple(kwargs.items()))
        signature = _signature(inputs)
        self._repeats = self._repeats + 1 if self._last_signature == signature else 1
        self._last_signature = signature
        if self._repeats == CAPTURE_AT_CALL:
            return self._capture_and_compare(capture, *args, **kwargs)
        if self._repeats > CAPTURE_AT_CALL and self._captured is not None:
            return cast(R, self._captured.replay(inputs))
        self._captured = None
        return self._function(*args, **kwargs)

    def _capture_and_compare(self, capture: Capture, *args: P.args, **kwargs: P.kwargs) -> R:
        expected = self._function(*args, **kwargs)
        inputs = (args, tuple(kwargs.items()))
        try:
            with _capture_lock:
                captured = _CapturedCall(self._function, inputs, capture)
            problem = _difference(_tensors(captured.replay(inputs)), _tensors(expected))
        except RuntimeError as error:
            problem = one_line(error)
        if problem is None:
            self._captured = captured
        else:
            self._capture = None
            logger.warning(f"CUDA graphs are not used, which may be slower: {problem}")
        return expected


class _CapturedCall:
    """A captured call of a function, on copies of its input tensors."""

    def __init__(self, function: Callable[..., Any], inputs: Any, capture: Capture) -> None:
        # Inference tensors could not be written to outside of inference mode.
        with torch.inference_mode(False), torch.no_grad(), constants_used() as self._constants:
            self._inputs = [tensor.clone() for tensor in _tensors(inputs)]
            args, kwargs = _with_tensors(inputs, iter(self._inputs))
            self._result, self._replay = capture(lambda: function(*args, **dict(kwargs)))
        self._serializer = StreamSerializer()
        self._last_inputs: list[Tensor | None] = [None] * len(self._inputs)
        index_of = {id(tensor): index for index, tensor in enumerate(self._inputs)}
        # For each tensor of the result the index of the input that it is, or None.
        self._input_indices = [index_of.get(id(tensor)) for tensor in _tensors(self._result)]

    def replay(self, inputs: Any) -> Any:
        """Result of the function for other tensors of the same shapes.

        Input tensors that were those of the last call too are not copied again; input tensors that the function returns
        are returned themselves.
        """
        tensors = _tensors(inputs)
        triples = zip(tensors, self._inputs, self._last_inputs, strict=True)
        with self._serializer.exclusive(self._inputs[0].device):
            _copy([(tensor, copy) for tensor, copy, last in triples if tensor is not last])
            self._last_inputs = [*tensors]
            self._replay()
            results = zip(_tensors(self._result), self._input_indices, strict=True)
            computed = [tensor for tensor, index in results if index is None]
            copies = [torch.empty_like(tensor) for tensor in computed]
            _copy([*zip(computed, copies, strict=True)])
        rest = iter(copies)
        returned = [next(rest) if index is None else tensors[index] for index in self._input_indices]
        return _with_tensors(self._result, iter(returned))


def _copy(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Copy the first tensor of each pair into the second; all of one dtype by one call."""
    for dtype in {source.dtype for source, _ in pairs}:
        same = [pair for pair in pairs if pair[0].dtype == dtype]
        torch._foreach_copy_([target for _, target in same], [source for source, _ in same])


def capture_cuda_graph(device: torch.device, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
    """`Capture` on a CUDA device."""
    gc.collect()  # a graph that is freed during a capture invalidates it
    # If the capture fails, it does not leave its stream by itself.
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
        stream = capture_stream(device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # what libraries and the allocator initialise must not be captured
            for _ in range(_WARM_UPS):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads, which read or encode the next frames, may use the device meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            result = work()
    return result, graph.replay


def _difference(replayed: Sequence[Tensor], expected: Sequence[Tensor]) -> str | None:
    """What is wrong with the result of a replay, or None."""
    for one, other in zip(replayed, expected, strict=True):
        norm, deviation = (each.double().norm().item() for each in (other, one.double() - other.double()))
        if not deviation <= _TOLERANCE * norm:
            return f"a replay deviates by {deviation:.2g} from a result of norm {norm:.2g}"
    return None


def _tensors(tree: Any) -> list[Tensor]:
    """All tensors of nested tuples and dataclasses, in order."""
    return [tree] if isinstance(tree, Tensor) else [tensor for each in _children(tree) for tensor in _tensors(each)]


def _signature(tree: Any) -> Any:
    """All of a tree but the values of its tensors: one capture serves trees of equal signatures."""
    if isinstance(tree, Tensor):
        return tree.shape, tree.dtype, tree.device
    children = _children(tree)
    return (type(tree), tuple(map(_signature, children))) if children else tree


def _with_tensors(tree: Any, tensors: Iterator[Tensor]) -> Any:
    """The same tree with other tensors."""
    if isinstance(tree, Tensor):
        return next(tensors)
    children = [_with_tensors(each, tensors) for each in _children(tree)]
    if isinstance(tree, tuple):
        return tuple(children)
    return type(tree)(*children) if children else tree


def _children(tree: Any) -> Sequence[Any]:
    if isinstance(tree, tuple):
        return tree
    return [getattr(tree, field.name) for field in fields(tree)] if is_dataclass(tree) else ()

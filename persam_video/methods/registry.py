"""Methods by their names (`persam_video.options.METHODS`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from persam_video.errors import InputError
from persam_video.methods.appearance.method import AppearanceMethod
from persam_video.methods.appearance.state_shapes import appearance_state_fault
from persam_video.methods.base import Method
from persam_video.methods.persam.method import PersamMethod
from persam_video.methods.persam.segmentation import PERSAM, PERSAM_F
from persam_video.methods.persam.target import STATE_SHAPES
from persam_video.methods.state_check import state_fault
from persam_video.options import check_method
from persam_video.sam.models import Sam

MethodFactory = Callable[[Sam], Method]

_METHODS: dict[str, MethodFactory] = {
    "appearance": AppearanceMethod,
    "persam-f": partial(PersamMethod, config=PERSAM_F),
    "persam": partial(PersamMethod, config=PERSAM),
}


def method_factory(name: str) -> MethodFactory:
    """Constructor of a method.

    Raises:
        InputError: there is no such method.
    """
    check_method(name)
    return _METHODS[name]


def check_state(method: str, state: Mapping[str, Tensor], *, objects: int, name: str) -> None:
    """Raise InputError unless a method can be restored from a state.

    Args:
        method: name of the method.
        state: `Method.state`, from a file perhaps.
        objects: number of objects.
        name: of the state in the error.
    """
    check_method(method)
    if method == "appearance":
        fault = appearance_state_fault(state, objects)
    else:
        fault = state_fault(state, STATE_SHAPES, {"objects": objects})
    if fault is not None:
        raise InputError(f"{name}: cannot be used as targets of {method} ({fault}); save them anew")

"""Methods by their names (`persam_video.options.METHODS`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from persam_video.methods.appearance.method import AppearanceMethod
from persam_video.methods.base import Method
from persam_video.methods.persam.method import PersamMethod
from persam_video.methods.persam.segmentation import PERSAM, PERSAM_F
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

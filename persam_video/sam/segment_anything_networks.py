"""Networks of ``segment_anything`` without its image transforms, as importing torchvision for them takes as long as
importing torch."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

_PACKAGE = "segment_anything"


class _LazyPackage(ModuleType):
    """Package whose ``__init__`` runs when a name of it is first needed. Its submodules can be imported before."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if name.startswith("__") or "__init__ has run" in self.__dict__ or spec is None or spec.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__dict__["__init__ has run"] = True
        spec.loader.exec_module(self)
        return getattr(self, name)


def _make_lazy() -> None:
    spec = importlib.util.find_spec(_PACKAGE) if _PACKAGE not in sys.modules else None
    if spec is None:  # it is imported already, or missing
        return
    package = importlib.util.module_from_spec(spec)
    package.__class__ = _LazyPackage
    sys.modules[_PACKAGE] = package


_make_lazy()

from segment_anything.build_sam import sam_model_registry  # noqa: E402
from segment_anything.modeling import ImageEncoderViT, TwoWayTransformer  # noqa: E402
from segment_anything.modeling import MaskDecoder as SamMaskDecoder  # noqa: E402
from segment_anything.modeling import PromptEncoder as SamPromptEncoder  # noqa: E402
from segment_anything.modeling import Sam as SamNetwork  # noqa: E402
from segment_anything.modeling.common import LayerNorm2d  # noqa: E402

__all__ = [
    "ImageEncoderViT",
    "LayerNorm2d",
    "SamMaskDecoder",
    "SamNetwork",
    "SamPromptEncoder",
    "TwoWayTransformer",
    "sam_model_registry",
]

"""Settings that determine the masks, as recorded with results."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from persam_video import __version__
from persam_video.files.hashes import files_sha256
from persam_video.options import DEFAULT_METHOD
from persam_video.sam.models import Sam

# Parts of the package that no pixel of a mask depends on.
_IRRELEVANT_SOURCES = ("cli", "evaluation", "outputs", "results", "__init__.py", "messages.py")


def settings_of(sam: Sam, method: str | None) -> dict[str, Any]:
    """Settings that determine the masks: equal settings give equal masks, up to rounding.

    ``checkpoint_sha256`` is the hash of the tensors, which is the same in every file that holds them; ``code_sha256``
    that of the package's sources that masks depend on, as these change between versions too.

    Args:
        method: name of the method; None: it is none of this package.
    """
    return {
        "method": method,
        "model": sam.options.model,
        "checkpoint": sam.checkpoint.name if sam.checkpoint else None,
        "checkpoint_sha256": sam.weights_sha256,
        "precision": str(sam.dtype).removeprefix("torch."),
        "size": sam.options.size,
        "window": "objects" if sam.options.encodes_windows(method == DEFAULT_METHOD, sam.device.type) else "frame",
        "exact_padding": sam.options.exact_padding,
        "persam_video": __version__,
        "code_sha256": _code_sha256(),
    }


@cache
def _code_sha256() -> str:
    package = Path(__file__).parents[1]
    sources = sorted(path.relative_to(package) for path in package.rglob("*.py"))
    return files_sha256([package / path for path in sources if path.parts[0] not in _IRRELEVANT_SOURCES])

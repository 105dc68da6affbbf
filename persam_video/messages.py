"""How messages say things."""

from __future__ import annotations

from PIL import UnidentifiedImageError


def pluralize(number: int, thing: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def one_line(error: BaseException) -> str:
    """An exception's own words in one line, without the path that the message around it names anyway."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, UnidentifiedImageError):
        text = "unknown format"
    return " ".join(text.split()) or type(error).__name__

"""Image files of a folder, a pattern or a list, read as a video."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path

from persam_video.errors import DamagedVideoError, InputError, VideoError
from persam_video.files.images import IMAGE_SUFFIXES, image_files, images_in, read_image
from persam_video.frame import Frame
from persam_video.messages import one_line, pluralize
from persam_video.video.media_file import MediaFile
from persam_video.video.span import Span

_NUMBER = r"(?<!%)%0?(\d{0,2})d"


class ImageSequence:
    """Image files as a video.

    Args:
        source: a folder, or a pattern of names: a glob pattern (``**`` matches folders in folders) or that of numbered
            files (``%05d.jpg``); its images come in natural order (2 before 10). Or a list of files, in its own order.
        max_pixels: limit of an image's pixels; None: `MAX_PIXELS`.

    Raises:
        VideoError: there is no image file, or two of one folder would have masks of the same name.
    """

    is_images = True
    media: MediaFile | None = None
    stream_index: int | None = None

    def __init__(self, source: Path | Sequence[Path], frame_rate: Fraction, max_pixels: int | None = None) -> None:
        self._max_pixels = max_pixels
        if isinstance(source, Path):
            self._paths = _find_images(source)
            self.path = source if source.is_dir() else _common_folder(self._paths)
        else:
            self._paths = list(source)
            self.path = _common_folder(self._paths)
        self.paths: Sequence[Path] = [self.path, *self._paths]
        names = [path.stem for path in self._paths]
        # They may be from several folders.
        self.names: Sequence[str] = names if len(set(names)) == len(names) else [f"{i:05d}" for i in range(len(names))]
        self.frame_rate: Fraction | None = frame_rate
        self.time_base = 1 / frame_rate
        self.pixel_aspect = Fraction(1)
        self.total: int | None = len(self._paths)
        self.count = 0  # of the images passed, wanted or not

    def frames(self, span: Span) -> Generator[Frame, None, None]:
        """The wanted images as frames; ``pts`` is the index of the image among all.

        Raises:
            DamagedVideoError: an image cannot be read, or has another size than the first one.
        """
        size: tuple[int, int] | None = None
        for index, (path, name) in enumerate(zip(self._paths, self.names, strict=True)):
            time = index * self.time_base
            if span.is_past(index, time):
                return
            if span.wants(index, time):
                try:
                    image = read_image(path, max_pixels=self._max_pixels)
                except InputError as error:
                    before = f"; {pluralize(index, 'image')} before it could be read" if index else ""
                    raise DamagedVideoError(f"{error}{before}", frame_index=index) from error
                height, width = image.shape[:2]
                size = size or (width, height)
                if (width, height) != size:
                    raise DamagedVideoError(
                        f"{path}: is {width}×{height} pixels, but the images before it are {size[0]}×{size[1]}; "
                        "all must have the same size",
                        frame_index=index,
                    )
                yield Frame(index=index, image=image, name=name, pts=index, time_base=self.time_base)
            self.count = index + 1

    def close(self) -> None:
        """Do nothing: no file is kept open."""


def _common_folder(paths: Sequence[Path]) -> Path:
    folder = paths[0].parent
    while not all(path.is_relative_to(folder) for path in paths) and folder != folder.parent:
        folder = folder.parent
    return folder


def is_numbered(name: str) -> bool:
    """Whether a file's name is a pattern of numbered files, as ``%05d.jpg``."""
    return re.search(_NUMBER, name) is not None


def _numbered(source: Path) -> list[Path]:
    before, digits, after = re.split(_NUMBER, source.name, maxsplit=1)
    width = int(digits or 0)
    # As FFmpeg writes numbers: at least of the width, filled with zeros, and no longer with a zero in front.
    number = rf"(?:\d{{{width}}}|[1-9]\d{{{width},}})" if width else r"(?:0|[1-9]\d*)"
    name = re.compile(re.escape(before.replace("%%", "%")) + number + re.escape(after.replace("%%", "%")))
    return [path for path in source.parent.iterdir() if name.fullmatch(path.name)] if source.parent.is_dir() else []


def _matching(pattern: Path) -> list[Path]:
    """Files that a glob pattern matches."""
    # pathlib, before Python 3.13, refuses ** within a name, where shells take it for a single *.
    parts = [part if part == "**" else re.sub(r"\*\*+", "*", part) for part in pattern.parts]
    root = Path(pattern.anchor)
    parts = parts[1:] if pattern.anchor else parts
    if parts[-1] == "**":
        parts.append("*")
    try:
        return list(dict.fromkeys(root.glob("/".join(parts))))
    except (ValueError, IndexError, re.error) as error:
        raise VideoError(f"{pattern}: is not a pattern ({one_line(error)}); give one like frames/*.jpg") from error


def _find_images(source: Path) -> list[Path]:
    if source.is_dir():
        paths, where = images_in(source), "the folder holds"
    else:
        paths = image_files(_numbered(source) if is_numbered(source.name) else _matching(source))
        where = "the pattern matches"
    if not paths:
        kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise VideoError(f"{source}: {where} no image file; give a video file, or images of these kinds: {kinds}")
    of_stem: dict[str, Path] = {}
    for path in paths:
        other = of_stem.setdefault(path.stem, path)
        if other.parent == path.parent and other is not path:
            raise VideoError(
                f"{source}: {other.name} and {path.name} would have masks of the same name; rename one, "
                'or give a pattern that matches only one kind, like "folder/*.jpg"'
            )
    return paths

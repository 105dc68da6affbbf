"""Image files of a folder or a glob pattern, read as a video."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

from persam_video.errors import DamagedVideoError, InputError, VideoError
from persam_video.files.images import IMAGE_SUFFIXES, image_files, read_image
from persam_video.frame import Frame
from persam_video.messages import pluralize
from persam_video.video.span import Span


class ImageSequence:
    """Image files of a folder or a glob pattern, in natural order (2 before 10).

    Raises:
        VideoError: there is no image file, or two of them would have masks of the same name.
    """

    def __init__(self, source: Path, frame_rate: Fraction, max_pixels: int | None = None) -> None:
        self._max_pixels = max_pixels
        self._source = source
        self._paths = _find_images(source)
        self.path = source if source.is_dir() else self._paths[0].parent
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
        for index, path in enumerate(self._paths):
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
                yield Frame(index=index, image=image, name=path.stem, pts=index, time_base=self.time_base)
            self.count = index + 1

    def close(self) -> None:
        """Do nothing: no file is kept open."""


def _find_images(source: Path) -> list[Path]:
    if source.is_dir():
        found, where = source.iterdir(), "the folder holds"
    else:
        root = Path(source.anchor)
        found, where = root.glob(str(source.relative_to(root))), "the pattern matches"
    paths = image_files(found)
    if not paths:
        kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise VideoError(f"{source}: {where} no image file; give a video file, or images of these kinds: {kinds}")
    of_stem: dict[str, Path] = {}
    for path in paths:
        other = of_stem.setdefault(path.stem, path)
        if other is not path:
            raise VideoError(
                f"{source}: {other.name} and {path.name} would have masks of the same name; rename one, "
                'or give a pattern that matches only one kind, like "folder/*.jpg"'
            )
    return paths

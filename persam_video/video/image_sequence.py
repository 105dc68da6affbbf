"""A folder of pictures, or a glob pattern of pictures, read as a video."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

from persam_video.errors import DamagedVideoError, VideoError
from persam_video.files.images import IMAGE_SUFFIXES, image_files, read_image
from persam_video.frame import Frame
from persam_video.video.span import Span


class ImageSequence:
    """The pictures of a folder or a glob pattern, in natural order (2 before 10).

    Raises:
        VideoError: there is no picture, two of them would have masks of the same name, or the first cannot be read.
    """

    def __init__(self, source: Path, frame_rate: Fraction) -> None:
        self._source = source
        self._paths = _find_pictures(source)
        self.path = source if source.is_dir() else self._paths[0].parent
        self.frame_rate: Fraction | None = frame_rate
        self.time_base = 1 / frame_rate
        self.total: int | None = len(self._paths)
        self.count = 0  # of the pictures that were passed, read or not

    def frames(self, span: Span) -> Generator[Frame, None, None]:
        """The wanted pictures as frames; ``pts`` is the place of the picture among all.

        Raises:
            DamagedVideoError: a picture cannot be read, or has another size than the first one.
        """
        size: tuple[int, int] | None = None
        for index, path in enumerate(self._paths):
            time = index * self.time_base
            if span.is_past(index, time):
                return
            if span.wants(index, time):
                try:
                    image = read_image(path)
                except Exception as error:  # damaged pictures make their decoders raise all sorts of things
                    message = f"{path}: picture {index} cannot be read ({error}); {index} pictures come before it"
                    raise DamagedVideoError(" ".join(message.split()), frame_index=index) from error
                height, width = image.shape[:2]
                size = size or (width, height)
                if (width, height) != size:
                    raise DamagedVideoError(
                        f"{path}: is {width}×{height} pixels, but the pictures before it are {size[0]}×{size[1]}; "
                        "all must have the same size",
                        frame_index=index,
                    )
                yield Frame(index=index, image=image, name=path.stem, pts=index, time_base=self.time_base)
            self.count = index + 1

    def close(self) -> None:
        """Nothing is kept open."""


def _find_pictures(source: Path) -> list[Path]:
    if source.is_dir():
        found, where = source.iterdir(), "the folder holds"
    else:
        root = Path(source.anchor)
        found, where = root.glob(str(source.relative_to(root))), "the pattern matches"
    paths = image_files(found)
    if not paths:
        kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise VideoError(f"{source}: {where} no picture; give a video file, or pictures of these kinds: {kinds}")
    of_stem: dict[str, Path] = {}
    for path in paths:
        other = of_stem.setdefault(path.stem, path)
        if other is not path:
            raise VideoError(
                f"{source}: {other.name} and {path.name} would have masks of the same name; rename one, "
                'or give a pattern that matches only one kind, like "folder/*.jpg"'
            )
    return paths

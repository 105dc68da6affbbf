"""Interface of a tracking method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from persam_video.frame import Frame, Image
from persam_video.sam.image_encoder import Features
from persam_video.sam.window import Window


class Prepared(Protocol):
    """What `Method.prepare` makes of a frame for `Method.find`."""

    @property
    def is_cut(self) -> bool:
        """Whether the frame is of another scene than the one before, in which objects are looked for everywhere."""

    def in_window(self, window: Window) -> Prepared:
        """The same for a window of the frame."""


class Method(Protocol):
    """A way to find objects in the frames of a video. It keeps the state that it needs between frames.

    Objects are rows of its tensors, in the order in which they were added; ids are the tracker's.

    `reduce` and `prepare` depend on the images alone and change no state: the pipeline calls them for frames ahead of
    tracking, in other threads.

    Attributes:
        windows: whether windows around the objects are encoded by default, not whole frames.
    """

    windows: bool

    def reduce(self, image: Image) -> Any:
        """The part of an image that `prepare` needs of it and of the next one, such as a small grey image.

        Args:
            image: RGB, uint8, H×W×3.
        """

    def prepare(self, reduced: Any, previous: Any | None) -> Prepared:
        """Inputs of `find` for a whole frame, such as its optical flow.

        Args:
            reduced: `reduce` of the frame.
            previous: `reduce` of the frame before it; None where there is none.
        """

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Personalise further objects from a frame and their masks in it.

        Args:
            features: of the frame, or of a window in which all of the masks are.
            masks: bool, N×H×W, on the CPU; none is empty.
            ignored: bool, H×W, on the CPU: pixels that are neither object nor background.
        """

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all objects but those of some rows, in ascending order."""

    def state(self) -> dict[str, Tensor]:
        """The personalised state of all objects, which `restore` reads; nothing of the frames tracked since."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Start with the objects of a `state`, all of them absent.

        Raises:
            KeyError: the state is of another method.
        """

    def find(self, frame: Frame, features: Features, prepared: Any) -> tuple[Tensor, Tensor]:
        """Find all objects in the next frame.

        Args:
            features: of the frame, or of any window of it.
            prepared: `prepare` of the frame, in the same window.
        Returns:
            logits, float, N×rows×columns of the window's low-res grid, and scores, float, N, 0 to 1: estimates of each
            mask's IoU with the true one.
        """

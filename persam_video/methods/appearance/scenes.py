"""Scenes, by which objects are found again after a cut.

Most unrelated scenes hold something that looks like an object by the contrast of its mask (`Presence`), but few of
their other places look like those of the scene in which the object was last seen. The last frame of that scene is
compared rather than the first one, from which the camera may have moved on. How like it a frame must be depends on how
like one another the scene's frames are: less when the camera moves fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.methods.appearance.kernel_ridge import KernelRidge, kernel
from persam_video.methods.appearance.settings import Settings

_SIDE = 16
"""Places along each side of a frame: with more, scenes are told apart no better."""
PLACES = _SIDE**2
_USUAL_STEADINESS = 0.9
"""Of a scene of which there is one frame only: that of most is between .75 and .98."""
_MAX_FRAMES = 20
"""Over which steadiness is averaged."""


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """Scene of the N objects of one classifier.

    Args:
        places: float, `PLACES`×d: descriptors of the places of the scene's last frame (`places_of`).
        steadiness: float, scalar: mean likeness of its frames to the frame before.
        frames: float, scalar: their number, at most `_MAX_FRAMES`.
        seen: bool, N: objects that have been visible.
        left: bool, N: those of them that have not been visible since a cut to another scene.
    """

    places: Tensor
    steadiness: Tensor
    frames: Tensor
    seen: Tensor
    left: Tensor

    @classmethod
    def of(cls, places: Tensor, objects: int) -> Scene:
        """Scene in whose first frame all objects are visible."""
        seen = torch.ones(objects, dtype=torch.bool, device=places.device)
        return cls(places, places.new_full((), _USUAL_STEADINESS), places.new_zeros(()), seen, ~seen)

    @classmethod
    def unknown(cls, classifier: KernelRidge) -> Scene:
        """Scene of objects none of which has been visible."""
        landmarks, objects = classifier.first.landmarks, len(classifier.first.mean_coverage)
        scene = cls.of(landmarks.new_zeros(PLACES, landmarks.shape[1]), objects)
        return replace(scene, seen=scene.left)

    def at_cut(self, cut: Tensor) -> Scene:
        """Scene that is left if there is a cut to another one, bool, scalar."""
        return replace(self, left=self.left | (cut & self.seen))

    def likeness(self, places: Tensor, bandwidth: float) -> Tensor:
        """Mean likeness of a frame's places to the likest place of the scene: float, scalar, 0 to 1.

        Args:
            places: of the frame, as in this scene.
            bandwidth: of the kernel.
        """
        return kernel(places, self.places, bandwidth).amax(dim=1).mean()

    def confidence(self, likeness: Tensor, settings: Settings) -> Tensor:
        """Share of an object's contrast that counts in a frame: float, N; 1 in a scene that was not left.

        Args:
            likeness: of the frame.
        """
        # Squared, as likeness is lost with every frame that the camera moves on.
        same_scene = (settings.scene_likeness_share * self.steadiness**2).clamp(min=settings.min_scene_likeness)
        share = (likeness / same_scene).clamp(max=1) ** settings.scene_likeness_power
        return torch.where(self.left, share, 1)

    def updated(self, places: Tensor, likeness: Tensor, absent: Tensor) -> Scene:
        """Scene after a frame.

        Args:
            places: of the frame, as in this scene.
            likeness: of the frame.
            absent: bool, N: objects that are absent in the frame.
        """
        seen, left = self.seen | ~absent, self.left & absent
        was_here, is_here = (self.seen & ~self.left).any(), (seen & ~left).any()
        steadiness = torch.lerp(self.steadiness, likeness, 1 / (self.frames + 1))
        return Scene(
            torch.where(is_here, places, self.places),
            torch.where(was_here, steadiness, self.steadiness),
            (self.frames + was_here).clamp(max=_MAX_FRAMES),
            seen,
            left,
        )

    def select(self, rows: Tensor) -> Scene:
        """Scene of some of the objects."""
        return replace(self, seen=self.seen[rows], left=self.left[rows])


def places_of(unit: Tensor, colours: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """Means of cell descriptors over the places of a frame of any shape: float, `PLACES`×256 and `PLACES`×6.

    Args:
        unit: float, cells×256, from `cell_descriptors`.
        colours: float, cells×6.
        size: rows and columns of the cells.
    """
    maps = torch.cat((unit, colours), dim=1).T.reshape(1, -1, *size)
    means = F.adaptive_avg_pool2d(maps, _SIDE)[0].flatten(1).T
    return means[:, : unit.shape[1]], means[:, unit.shape[1] :]

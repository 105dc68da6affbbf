"""Scenes, by which objects are found again after a cut.

Most unrelated scenes hold something that looks like an object by the contrast of its mask (`Presence`), but few of
their other parts look like those of the scene in which the object was last seen. The last frame of that scene is
compared rather than the first one, from which the camera may have moved on. How similar a frame must be depends on how
similar the scene's frames are to one another: less when the camera moves fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.methods.appearance.kernel_ridge import KernelRidge, kernel
from persam_video.methods.appearance.settings import Settings

_SIDE = 16
"""Pooled cells along each side of a frame: with more, scenes are told apart no better."""
POOLED_CELLS = _SIDE**2
_USUAL_SIMILARITY = 0.9
"""Of the frames of a scene of which there is one frame only: that of most scenes is between .75 and .98."""
_MAX_COMPARISONS = 20
"""Over which the similarity of frames is averaged."""


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """Scene of the N objects of one classifier.

    Args:
        cells: float, `POOLED_CELLS`×d: descriptors of the pooled cells of the scene's last frame (`pooled_cells`).
        frame_similarity: float, scalar: mean similarity of its frames to the frame before.
        comparisons: float, scalar: the number of frames in that mean, at most `_MAX_COMPARISONS`.
        seen: bool, N: objects that have been visible.
        left: bool, N: those of them that have not been visible since a cut to another scene.
    """

    cells: Tensor
    frame_similarity: Tensor
    comparisons: Tensor
    seen: Tensor
    left: Tensor

    @classmethod
    def of(cls, cells: Tensor, objects: int) -> Scene:
        """Scene in whose first frame all objects are visible."""
        seen = torch.ones(objects, dtype=torch.bool, device=cells.device)
        return cls(cells, cells.new_full((), _USUAL_SIMILARITY), cells.new_zeros(()), seen, ~seen)

    @classmethod
    def unknown(cls, classifier: KernelRidge) -> Scene:
        """Scene of objects none of which has been visible."""
        landmarks, objects = classifier.first.landmarks, len(classifier.first.mean_coverage)
        scene = cls.of(landmarks.new_zeros(POOLED_CELLS, landmarks.shape[1]), objects)
        return replace(scene, seen=scene.left)

    def at_cut(self, cut: Tensor) -> Scene:
        """Scene that is left if there is a cut to another one, bool, scalar."""
        return replace(self, left=self.left | (cut & self.seen))

    def similarity(self, cells: Tensor, bandwidth: float) -> Tensor:
        """Mean similarity of a frame's pooled cells to the most similar one of the scene: float, scalar, 0 to 1.

        Args:
            cells: of the frame, as in this scene.
            bandwidth: of the kernel.
        """
        return kernel(cells, self.cells, bandwidth).amax(dim=1).mean()

    def confidence(self, similarity: Tensor, settings: Settings) -> Tensor:
        """Share of an object's contrast that counts in a frame: float, N; 1 in a scene that was not left.

        Args:
            similarity: of the frame to the scene.
        """
        share = (similarity / self._min_similarity(settings)).clamp(max=1) ** settings.scene_similarity_power
        return torch.where(self.left, share, 1)

    def updated(self, cells: Tensor, similarity: Tensor, absent: Tensor, settings: Settings) -> Scene:
        """Scene after a frame.

        Args:
            cells: of the frame, as in this scene.
            similarity: of the frame to the scene.
            absent: bool, N: objects that are absent in the frame.
        """
        seen, still_left = self.seen | ~absent, self.left & absent
        # If one object is found in a frame of the scene, the others may be in it, too; if it is found in another scene,
        # they are still looked for in theirs.
        is_back = (self.left & ~absent).any() & (similarity >= self._min_similarity(settings))
        left = still_left & ~is_back
        was_shown, is_shown = _is_shown(self.seen, self.left), _is_shown(seen, left)
        frame_similarity = torch.lerp(self.frame_similarity, similarity, 1 / (self.comparisons + 1))
        return Scene(
            torch.where(is_shown, cells, self.cells),
            torch.where(was_shown, frame_similarity, self.frame_similarity),
            (self.comparisons + was_shown).clamp(max=_MAX_COMPARISONS),
            seen,
            left,
        )

    def _min_similarity(self, settings: Settings) -> Tensor:
        """Similarity from which on a frame is of this scene."""
        # Squared, as similarity is lost with every frame that the camera moves on.
        return (settings.scene_similarity_share * self.frame_similarity**2).clamp(min=settings.min_scene_similarity)

    def select(self, rows: Tensor) -> Scene:
        """Scene of some of the objects."""
        return replace(self, seen=self.seen[rows], left=self.left[rows])


def _is_shown(seen: Tensor, left: Tensor) -> Tensor:
    """Whether the frame is of the scene of all objects that were seen: bool, scalar."""
    return seen.any() & ~left.any()


def pooled_cells(unit: Tensor, colours: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """Means of cell descriptors over 16×16 parts of a frame of any shape: float, `POOLED_CELLS`×256 and ×6.

    Args:
        unit: float, cells×256, from `cell_descriptors`.
        colours: float, cells×6.
        size: rows and columns of the cells.
    """
    maps = torch.cat((unit, colours), dim=1).T.reshape(1, -1, *size)
    means = F.adaptive_avg_pool2d(maps, _SIDE)[0].flatten(1).T
    return means[:, : unit.shape[1]], means[:, unit.shape[1] :]

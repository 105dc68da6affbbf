"""From the classifier's scores to evidence: log-odds that a place is the object's.

A score is an expected coverage, but how high it is inside an object differs from object to object and drifts with the
video. What counts is where it lies between what it is inside and what it is around the object, in units of how much it
scatters (a linear discriminant). Where a video begins, that is measured on the mirrored first frame: the classifier
has not seen it, so its scores there are honest, as those of the first frame itself are not. There all that is not the
object counts as its surroundings, later only what is near.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST_SCATTER = 0.05
"""Of the distance between inside and outside: nothing is told apart more finely."""
_LEAST = 1e-3
"""No distance is less, of scores that are 0 to 1."""
_LEAST_DISTANCE = 0.25
"""Of the distance in the first frame: an object never counts as less distinct from its surroundings."""


@dataclass(frozen=True, eq=False, slots=True)
class Levels:
    """What the scores of N objects are inside of each and around it: means and standard deviations, float, N each."""

    inside: Tensor
    outside: Tensor
    inside_scatter: Tensor
    outside_scatter: Tensor

    @classmethod
    def measure(cls, scores: Tensor, inside: Tensor, outside: Tensor) -> Levels:
        """The levels in one frame.

        Args:
            scores: float, N×h×w.
            inside: float, N×h×w, 0 to 1: how far each cell is the object's.
            outside: float, N×h×w: how far it is of the object's surroundings.
        """
        weights = torch.stack((inside, outside))
        shares = weights / weights.sum(dim=(2, 3), keepdim=True).clamp(min=1e-8)
        means = (scores * shares).sum(dim=(2, 3))
        scatters = ((scores - means[..., None, None]).square() * shares).sum(dim=(2, 3)).sqrt()
        return cls(*means, *scatters)

    def blend(self, other: Levels, share: Tensor) -> Levels:
        """These levels with a share, float, N, 0 to 1, of others."""
        pairs = zip(self._all(), other._all(), strict=True)
        return Levels(*(torch.lerp(mine, theirs, share) for mine, theirs in pairs))

    def join(self, other: Levels) -> Levels:
        """The levels of these objects, then of others."""
        return Levels(*(torch.cat(both) for both in zip(self._all(), other._all(), strict=True)))

    def select(self, indices: Tensor) -> Levels:
        """The levels of some of the objects."""
        return Levels(*(each[indices] for each in self._all()))

    def at_least(self, first: Levels) -> Levels:
        """With the inside a quarter of its first distance above the outside, or more."""
        distance = (_LEAST_DISTANCE * (first.inside - first.outside)).clamp(min=_LEAST)
        floor = self.outside + distance
        return Levels(torch.maximum(self.inside, floor), self.outside, self.inside_scatter, self.outside_scatter)

    def position(self, scores: Tensor) -> Tensor:
        """Where scores, float, N or N×h×w, lie: 0 = as outside, 1 = as inside."""
        outside, inside = (each.view(-1, *[1] * (scores.ndim - 1)) for each in (self.outside, self.inside))
        return (scores - outside) / (inside - outside)

    def alike(self, scores: Tensor) -> Tensor:
        """How far cells of scores, float, N×h×w, look like the object: 0, as outside or less, to 1, as inside."""
        return self.position(scores).clamp(0, 1)

    def contrast(self, scores: Tensor, inside: Tensor, around: Tensor) -> Tensor:
        """How far places stand out from what is around them: float, N; 1 = as inside from outside, 0 = not at all.

        Args: as for `measure`; where nothing is around, it counts as outside.
        """
        within = (scores * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)).clamp(min=1e-3)
        excess = scores - self.outside[:, None, None]
        beyond = self.outside + (excess * around).sum(dim=(1, 2)) / around.sum(dim=(1, 2)).clamp(min=1e-3)
        return self.position(within) - self.position(beyond)

    def log_odds(self, scores: Tensor) -> Tensor:
        """The evidence of scores, float, N×h×w: positive where they are likelier inside.

        A linear discriminant with equal priors and the mean of both variances: the border is halfway.
        """
        distance = self.inside - self.outside
        variance = (self.inside_scatter.square() + self.outside_scatter.square()) / 2
        slope = distance / torch.maximum(variance, (_LEAST_SCATTER * distance).square()).clamp(min=1e-12)
        halfway = (self.inside + self.outside) / 2
        return (scores - halfway[:, None, None]) * slope[:, None, None]

    def _all(self) -> tuple[Tensor, ...]:
        return self.inside, self.outside, self.inside_scatter, self.outside_scatter

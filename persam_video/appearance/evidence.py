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

from persam_video.appearance.windows import near, window_sums

_LEAST_SCATTER = 0.05
"""Of the distance between inside and outside: nothing is told apart more finely."""
_LEAST = 1e-3
"""No distance is less, of scores that are 0 to 1."""
_LEAST_DISTANCE = 0.25
"""Of the distance in the first frame: an object never counts as less distinct from its surroundings."""
_RADII = 5
"""Squares of 1, 3, … 9 cells a side: what is larger is as rare as the largest."""
_KNOWN_SHARE = 0.9
"""A square of which less is background tells nothing."""
_MOST = 0.5
"""However much else looks like it, an object that is nearly hidden can be believed."""


@dataclass(frozen=True, eq=False, slots=True)
class Levels:
    """What the scores of N objects are inside of each and around it: means and standard deviations, float, N each."""

    inside: Tensor
    outside: Tensor
    inside_scatter: Tensor
    outside_scatter: Tensor

    @classmethod
    def of_none(cls, device: torch.device) -> Levels:
        """Those of no object."""
        return cls(*torch.empty(4, 0, device=device))

    @classmethod
    def measure(cls, scores: Tensor, inside: Tensor, outside: Tensor) -> Levels:
        """The levels in one frame.

        Args:
            scores: float, N×h×w.
            inside: float, N×h×w, 0 to 1: how far each cell is the object's.
            outside: float, N×h×w: how far it is of the object's surroundings.
        """
        means, scatters = [], []
        for weights in (inside, outside):
            share = weights / weights.sum(dim=(1, 2), keepdim=True).clamp(min=1e-8)
            mean = (scores * share).sum(dim=(1, 2))
            means.append(mean)
            scatters.append(((scores - mean[:, None, None]).square() * share).sum(dim=(1, 2)).sqrt())
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
        """Where scores, float, N, lie: 0 = as outside, 1 = as inside."""
        return (scores - self.outside) / (self.inside - self.outside)

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


@dataclass(frozen=True, eq=False, slots=True)
class Resemblance:
    """How much a small part of the background may look like each of N objects: float, N×sizes, 0 to `_MOST`.

    The smaller a place, the likelier it looks like an object by chance: a few cells of the right colour are no evidence
    that an object is there, as many as it has are. How much that matters differs from object to object. These are
    positions (`Levels.position`) of the best of all places of a size, beyond that of the best that is as large as the
    object was given: what tells the object itself from nothing else cannot be asked of a part of it.
    """

    excess: Tensor

    @classmethod
    def of_none(cls, device: torch.device) -> Resemblance:
        """That of no object."""
        return cls(torch.empty(0, _RADII, device=device))

    @classmethod
    def measure(cls, scores: Tensor, levels: Levels, coverage: Tensor, background: Tensor) -> Resemblance:
        """What the best square of each size scores.

        Args:
            scores: float, N×h×w.
            levels: of the same frame.
            coverage: float, N×h×w, 0 to 1: how much of each cell each object covers.
            background: bool, h×w: what is no object.
        """
        levels = levels.at_least(levels)  # an object that does not differ from its surroundings has a distance, too
        one = torch.ones(1, dtype=torch.long, device=scores.device)
        far = (background & ~near(~background[None], one)[0])[None].float()
        best = []
        for radius in range(_RADII):
            squares = window_sums(far, one * radius)
            means = window_sums(scores * far, radius * one.expand(len(scores))) / squares.clamp(min=1)
            known = squares >= _KNOWN_SHARE * (2 * radius + 1) ** 2
            # Where no such square is background, none is known to look like an object.
            highest = torch.where(known, means, -torch.inf).amax(dim=(1, 2))
            best.append(levels.position(torch.maximum(highest, levels.outside)))
        positions = torch.stack(best, dim=1)
        own = _at_size(positions, coverage.sum(dim=(1, 2)))
        return cls((positions - own[:, None]).clamp(0, _MOST))

    def of_size(self, cells: Tensor) -> Tensor:
        """What so many cells, float, N, may reach by chance: float, N."""
        return _at_size(self.excess, cells)

    def join(self, other: Resemblance) -> Resemblance:
        """That of these objects, then of others."""
        return Resemblance(torch.cat((self.excess, other.excess)))

    def select(self, indices: Tensor) -> Resemblance:
        """That of some of the objects."""
        return Resemblance(self.excess[indices])


def _at_size(table: Tensor, cells: Tensor) -> Tensor:
    """Between the columns of a table by squares' sizes, float, N×`_RADII`, where there are so many cells, float, N."""
    radius = ((cells.sqrt() - 1) / 2).clamp(0, _RADII - 1)
    below = radius.long().clamp(max=_RADII - 2)
    smaller, larger = (table.gather(1, (below + step)[:, None])[:, 0] for step in (0, 1))
    return torch.lerp(smaller, larger, radius - below)

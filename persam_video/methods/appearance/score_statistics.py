"""Statistics of the classifier's scores inside and around objects, which turn scores into log-odds.

A score estimates a cell's coverage, but its level inside an object differs from object to object and drifts during the
video. It is therefore taken relative to the mean score inside the object and around it, in units of their standard
deviation (a linear discriminant). The first statistics are measured on the mirrored first frame, as the classifier
overfits the first frame itself; there the background is all that is not the object, in later frames only its
surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_MIN_RELATIVE_STD = 0.05
"""Of the separation, so that log-odds do not grow without limit."""
_MIN_SEPARATION = 1e-3
"""Of scores that are 0 to 1."""
_MIN_SEPARATION_SHARE = 0.25
"""Of the separation in the first frame."""


@dataclass(frozen=True, eq=False, slots=True)
class ScoreStatistics:
    """Mean and standard deviation of the scores of N objects, inside each of them and around it: float, N each.

    The *separation* of an object is the difference of its two means.
    """

    foreground_mean: Tensor
    background_mean: Tensor
    foreground_std: Tensor
    background_std: Tensor

    @classmethod
    def measure(cls, scores: Tensor, foreground: Tensor, background: Tensor) -> ScoreStatistics:
        """Statistics of one frame.

        Args:
            scores: float, N×h×w.
            foreground: float, N×h×w, 0 to 1: share of each cell that is the object's.
            background: float, N×h×w: share of each cell that is background of the object.
        """
        weights = torch.stack((foreground, background))
        shares = weights / weights.sum(dim=(2, 3), keepdim=True).clamp(min=1e-8)
        means = (scores * shares).sum(dim=(2, 3))
        stds = ((scores - means[..., None, None]).square() * shares).sum(dim=(2, 3)).sqrt()
        return cls(*means, *stds)

    def blend(self, other: ScoreStatistics, share: Tensor) -> ScoreStatistics:
        """Mixture of these statistics and others, whose share is float, N, 0 to 1."""
        pairs = zip(self._all(), other._all(), strict=True)
        return ScoreStatistics(*(torch.lerp(mine, theirs, share) for mine, theirs in pairs))

    def concat(self, other: ScoreStatistics) -> ScoreStatistics:
        """Statistics of these objects, then of others."""
        return ScoreStatistics(*(torch.cat(both) for both in zip(self._all(), other._all(), strict=True)))

    def select(self, rows: Tensor) -> ScoreStatistics:
        """Statistics of some of the objects."""
        return ScoreStatistics(*(each[rows] for each in self._all()))

    def with_minimum_separation(self, first: ScoreStatistics) -> ScoreStatistics:
        """Statistics whose foreground mean is raised so that the separation is at least a quarter of the first one."""
        separation = (_MIN_SEPARATION_SHARE * (first.foreground_mean - first.background_mean)).clamp(
            min=_MIN_SEPARATION
        )
        foreground_mean = torch.maximum(self.foreground_mean, self.background_mean + separation)
        return ScoreStatistics(foreground_mean, self.background_mean, self.foreground_std, self.background_std)

    def normalised(self, scores: Tensor) -> Tensor:
        """Scores, float, N or N×h×w, scaled so that 0 is the background mean and 1 the foreground mean."""
        shape = (-1, *[1] * (scores.ndim - 1))
        background, foreground = self.background_mean.view(shape), self.foreground_mean.view(shape)
        return (scores - background) / (foreground - background)

    def likeness(self, scores: Tensor) -> Tensor:
        """Likeness of cells to the object, float, N×h×w, from 0 (background mean or less) to 1 (foreground mean)."""
        return self.normalised(scores).clamp(0, 1)

    def contrast(self, scores: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
        """Difference of the mean normalised scores inside and around regions, float, N.

        Args: as for `measure`; where the background of a region is empty, `background_mean` takes its place.
        """
        inside = (scores * foreground).sum(dim=(1, 2)) / foreground.sum(dim=(1, 2)).clamp(min=1e-3)
        excess = scores - self.background_mean[:, None, None]
        weight = background.sum(dim=(1, 2)).clamp(min=1e-3)
        around = self.background_mean + (excess * background).sum(dim=(1, 2)) / weight
        return self.normalised(inside) - self.normalised(around)

    def log_odds(self, scores: Tensor) -> Tensor:
        """Log-odds of scores, float, N×h×w: positive where they are likelier inside the object than around it.

        A linear discriminant with equal priors and the mean of both variances: 0 is halfway between the means.
        """
        separation = self.foreground_mean - self.background_mean
        variance = (self.foreground_std.square() + self.background_std.square()) / 2
        slope = separation / torch.maximum(variance, (_MIN_RELATIVE_STD * separation).square()).clamp(min=1e-12)
        halfway = (self.foreground_mean + self.background_mean) / 2
        return (scores - halfway[:, None, None]) * slope[:, None, None]

    def _all(self) -> tuple[Tensor, ...]:
        return self.foreground_mean, self.background_mean, self.foreground_std, self.background_std

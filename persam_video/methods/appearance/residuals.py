"""What is still wrong when all have spoken, learned where the truth is known.

SAM's outlines and the classifier's cells miss what is small, or what SAM sees no outline of. In the frame in which an
object is given, the error is known at every place. Kernel ridge regression learns it from the colours there and from
what SAM and the others say; in later frames it is expected again where all of that is alike. Where nothing like it was
seen, the expected error is zero: what is new is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.methods.appearance.descriptors import Colours
from persam_video.methods.appearance.kernel_ridge import choose_landmarks, kernel, lift, solve_ridge
from persam_video.methods.appearance.settings import Settings
from persam_video.sam.object_masks import PROB_EPS

_INPUTS = 11
_MOST_SAMPLES = 8192
_BANDWIDTH = 1.0
"""Of the kernel: the inputs have their own scales."""
_OBJECTS_AT_A_TIME = 16
"""How many are corrected at once where all places are looked at: the kernel of each has 20 MB."""
_COUNTING = ("cpu",)
"""Where it costs nothing to count."""


@dataclass(frozen=True, eq=False, slots=True)
class Places:
    """What errors depend on at every place of the low-res grid, in units in which 1 is a large difference.

    Args:
        seen: float, 9×places: the colours, their deviation and their contrast.
        heard: float, N×2×places: SAM's log-odds for each object, and those of all others.
    """

    seen: Tensor
    heard: Tensor

    @classmethod
    def of(cls, colours: Colours, said: Tensor, prior: Tensor, settings: Settings) -> Places:
        """Those of a frame.

        Args:
            colours: on the low-res grid.
            said: SAM's log-odds, float, N×h×w.
            prior: those of all others.
        """
        seen = torch.cat((colours.mean, colours.deviation, colours.contrast())) / settings.error_colour_scale
        heard = torch.stack((said, prior), dim=1) / settings.error_doubt_scale
        return cls(seen.flatten(1), heard.flatten(2))

    def inputs(self) -> Tensor:
        """Those of all objects at all places: float, N×places×`_INPUTS`."""
        return torch.cat((self.seen.expand(len(self.heard), -1, -1), self.heard), dim=1).mT

    def inputs_at(self, number: int, where: Tensor) -> Tensor:
        """Those of one object at some places, bool or int: float, n×`_INPUTS`."""
        return torch.cat((self.seen[:, where], self.heard[number][:, where])).T


@dataclass(frozen=True, eq=False, slots=True)
class Residuals:
    """The expected errors of N objects.

    Args:
        landmarks: float, N×m×`_INPUTS`: places that stand for all.
        weights: float, N×m: what each adds to the probability of a place that is like it.
    """

    landmarks: Tensor
    weights: Tensor

    @classmethod
    def fit(cls, samples: Sequence[tuple[Tensor, Tensor]], settings: Settings) -> Residuals:
        """Learn from places of which the truth is known.

        Args:
            samples: of each object inputs, float, n×`_INPUTS` (`Places`), and errors, float, n: the truth less
                the probability that was found.
        """
        count = settings.error_landmarks
        landmarks, weights = [], []
        for inputs, errors in samples:
            some = torch.linspace(0, len(inputs) - 1, min(len(inputs), _MOST_SAMPLES), device=inputs.device).long()
            inputs, errors = inputs[some], errors[some]
            places, whitening = choose_landmarks(inputs, torch.ones_like(errors), count, _BANDWIDTH)
            lifted = lift(inputs, places, whitening, _BANDWIDTH)
            solved = solve_ridge(lifted.T @ lifted, lifted.T @ errors[:, None], settings.error_noise)
            solved = (whitening.T @ solved)[:, 0]
            missing = count - len(places)
            landmarks.append(F.pad(places, (0, 0, 0, missing)))
            weights.append(F.pad(solved, (0, missing)))
        return cls(torch.stack(landmarks), torch.stack(weights))

    def correct(self, logits: Tensor, places: Places, regions: Tensor) -> Tensor:
        """Log-odds, float, N×h×w, with the expected errors added to their probabilities in regions, bool, N×h×w."""
        flat, inside = logits.flatten(1), regions.flatten(1)
        if logits.device.type not in _COUNTING:
            # All places are looked at: counting those of the regions would mean to wait.
            every = (flat, places.inputs(), self.landmarks, self.weights)
            parts = zip(*(torch.split(each, _OBJECTS_AT_A_TIME) for each in every), strict=True)
            return torch.where(inside, torch.cat([_corrected(*part) for part in parts]), flat).view_as(logits)
        corrected = flat.clone()
        for number, (mine, region) in enumerate(zip(corrected, inside, strict=True)):
            where = region.nonzero()[:, 0]
            inputs = places.inputs_at(number, where)
            mine[where] = _corrected(mine[where], inputs, self.landmarks[number], self.weights[number])
        return corrected.view_as(logits)

    def join(self, other: Residuals) -> Residuals:
        """Those of these objects, then of others."""
        return Residuals(torch.cat((self.landmarks, other.landmarks)), torch.cat((self.weights, other.weights)))

    def select(self, indices: Tensor) -> Residuals:
        """Those of some of the objects."""
        return Residuals(self.landmarks[indices], self.weights[indices])


def _corrected(logits: Tensor, inputs: Tensor, landmarks: Tensor, weights: Tensor) -> Tensor:
    """Log-odds, float, …×n, with the expected errors added to their probabilities; the rest as for `Residuals`."""
    errors = (kernel(inputs, landmarks, _BANDWIDTH) @ weights[..., None])[..., 0]
    return (logits.sigmoid() + errors).clamp(PROB_EPS, 1 - PROB_EPS).logit()

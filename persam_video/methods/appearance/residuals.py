"""Residual model: expected errors of the fused masks, learned from the first frame of each object.

SAM's outlines and the classifier's cells miss small parts, and parts without an outline. In an object's first frame the
error of every cell is known. Kernel ridge regression predicts it from the cell's colours, SAM's log-odds and those of
classifier and flow. In later frames the predicted error is added; far from all samples it is zero.
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
_MAX_SAMPLES = 8192
_BANDWIDTH = 1.0
"""Of the kernel: the inputs are scaled instead."""
_DENSE_BATCH = 16
"""Objects corrected at a time over all cells: each takes 20 MB for its kernel matrix."""


@dataclass(frozen=True, eq=False, slots=True)
class ResidualInputs:
    """Inputs of the residual model in every cell of the low-res grid, scaled so that 1 is a large difference.

    Args:
        colour: float, 9×cells: mean, standard deviation and contrast of the colours.
        log_odds: float, N×2×cells: SAM's and the prior's for each object.
    """

    colour: Tensor
    log_odds: Tensor

    @classmethod
    def of(cls, colours: Colours, sam_logits: Tensor, prior: Tensor, settings: Settings) -> ResidualInputs:
        """Inputs in one frame.

        Args:
            colours: on the low-res grid.
            sam_logits: SAM's log-odds, float, N×h×w.
            prior: log-odds of the classifier and the motion prior, float, N×h×w.
        """
        colour = torch.cat((colours.mean, colours.std, colours.contrast())) / settings.error_colour_scale
        log_odds = torch.stack((sam_logits, prior), dim=1) / settings.error_log_odds_scale
        return cls(colour.flatten(1), log_odds.flatten(2))

    def dense(self) -> Tensor:
        """Inputs of all objects in all cells: float, N×cells×`_INPUTS`."""
        return torch.cat((self.colour.expand(len(self.log_odds), -1, -1), self.log_odds), dim=1).mT

    def at(self, row: int, cells: Tensor) -> Tensor:
        """Inputs of one object in some cells, bool or int: float, n×`_INPUTS`."""
        return torch.cat((self.colour[:, cells], self.log_odds[row][:, cells])).T


@dataclass(frozen=True, eq=False, slots=True)
class ResidualModel:
    """Kernel ridge regression of the errors of N objects.

    Args:
        landmarks: float, N×m×`_INPUTS`: inputs of the landmark cells.
        weights: float, N×m: theirs in the sum that is the predicted error.
    """

    landmarks: Tensor
    weights: Tensor

    @classmethod
    def fit(
        cls, samples: Sequence[tuple[Tensor, Tensor]], settings: Settings, cell_weight: float = 1.0
    ) -> ResidualModel:
        """Residual model fitted to cells whose truth is known.

        Args:
            samples: per object, inputs, float, n×`_INPUTS` (`ResidualInputs`), and errors, float, n: the true coverage
                less the fused probability.
            cell_weight: of each cell (`Window.cell_weight`).
        """
        count = settings.error_landmarks
        all_landmarks, all_weights = [], []
        for inputs, errors in samples:
            number = min(len(inputs), _MAX_SAMPLES)
            kept = torch.linspace(0, len(inputs) - 1, number, dtype=inputs.dtype, device=inputs.device).long()
            inputs, errors = inputs[kept], errors[kept]
            landmarks, whitening = choose_landmarks(inputs, torch.ones_like(errors), count, _BANDWIDTH)
            lifted = lift(inputs, landmarks, whitening, _BANDWIDTH)
            solution = solve_ridge(lifted.T @ lifted, lifted.T @ errors[:, None], settings.error_noise / cell_weight)
            weights = (whitening.T @ solution)[:, 0]
            missing = count - len(landmarks)
            all_landmarks.append(F.pad(landmarks, (0, 0, 0, missing)))
            all_weights.append(F.pad(weights, (0, missing)))
        return cls(torch.stack(all_landmarks), torch.stack(all_weights))

    def correct(self, logits: Tensor, inputs: ResidualInputs, regions: Tensor) -> Tensor:
        """Log-odds, float, N×h×w, with the predicted errors added to their probabilities within regions.

        Args:
            logits: float, N×h×w.
            inputs: of the same frame.
            regions: bool, N×h×w.
        """
        correct = self.correct_sparse if logits.device.type == "cpu" else self.correct_dense
        return correct(logits, inputs, regions)

    def correct_sparse(self, logits: Tensor, inputs: ResidualInputs, regions: Tensor) -> Tensor:
        """`correct` on the CPU: computed in the cells of the regions only."""
        corrected = logits.flatten(1).clone()
        for row, (mine, region) in enumerate(zip(corrected, regions.flatten(1), strict=True)):
            cells = region.nonzero()[:, 0]
            mine[cells] = _corrected(mine[cells], inputs.at(row, cells), self.landmarks[row], self.weights[row])
        return corrected.view_as(logits)

    def correct_dense(
        self, logits: Tensor, inputs: ResidualInputs, regions: Tensor, *, batch: int = _DENSE_BATCH
    ) -> Tensor:
        """`correct` on a GPU: computed in all cells, as to count those of the regions would synchronise with it.

        Args:
            batch: number of objects corrected at a time.
        """
        flat = logits.flatten(1)
        every = (flat, inputs.dense(), self.landmarks, self.weights)
        parts = zip(*(torch.split(each, batch) for each in every), strict=True)
        corrected = torch.cat([_corrected(*part) for part in parts])
        return torch.where(regions.flatten(1), corrected, flat).view_as(logits)

    def concat(self, other: ResidualModel) -> ResidualModel:
        """Residual model of these objects, then of others."""
        return ResidualModel(torch.cat((self.landmarks, other.landmarks)), torch.cat((self.weights, other.weights)))

    def select(self, rows: Tensor) -> ResidualModel:
        """Residual model of some of the objects."""
        return ResidualModel(self.landmarks[rows], self.weights[rows])


def _corrected(logits: Tensor, inputs: Tensor, landmarks: Tensor, weights: Tensor) -> Tensor:
    """Log-odds, float, …×n, with the predicted errors added to their probabilities.

    Args:
        inputs: float, …×n×`_INPUTS`.
        landmarks: float, …×m×`_INPUTS`.
        weights: float, …×m.
    """
    errors = (kernel(inputs, landmarks, _BANDWIDTH) @ weights[..., None])[..., 0]
    return (logits.sigmoid() + errors).clamp(PROB_EPS, 1 - PROB_EPS).logit()

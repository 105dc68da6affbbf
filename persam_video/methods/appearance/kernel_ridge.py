"""Appearance classifier: kernel ridge regression of the share of a cell that each object covers.

A linear classifier cannot separate an object with a red shoe and a blue sleeve from another blue shoe; a nearest
neighbour can, but overfits single cells. Kernel ridge regression (the mean of a Gaussian process) is smooth where the
first frame's cells agree and local where they do not. With landmark cells (Nyström's approximation) it is a ridge
regression on fixed features, whose statistics are sums over cells: later frames enter them by an exponential moving
average, in bounded memory. All objects of a first frame share its landmarks; each has a column of targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.methods.appearance.settings import Settings

_JITTER = 1e-5
_MIN_EXPONENT = -60.0
"""e^-60 is negligible beside 1, and far above denormals (below 1e-38), with which CPUs are a hundred times slower."""
_MIN_RESIDUAL = 1e-3
"""Residual variance below which a cell is no landmark: flat images have few different cells."""


@dataclass(frozen=True, eq=False, slots=True)
class FirstFrameFit:
    """Classifier of N objects, fitted to the frame from which they are personalised; float.

    Args:
        centre: 256, mean of the frame's unit features.
        landmarks: m×d, descriptors of the landmark cells.
        whitening: m×m, inverse Cholesky factor of their kernel matrix.
        mean_coverage: N, mean of each object's coverage.
        gram: m×m, Gram matrix of the ridge regression.
        targets: m×N, its right-hand side.
    """

    centre: Tensor
    landmarks: Tensor
    whitening: Tensor
    mean_coverage: Tensor
    gram: Tensor
    targets: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class KernelRidge:
    """Classifier of all objects that are personalised from the same frame.

    Args:
        first: fit to that frame.
        gram: m×m, moving average of the Gram matrices of later frames.
        targets: m×N, the same of the right-hand sides.
        weights: m×N, solution for the first and the later frames.
        first_weights: m×N, solution for the first frame alone.
        settings: the constants.
    """

    first: FirstFrameFit
    gram: Tensor
    targets: Tensor
    weights: Tensor
    first_weights: Tensor
    settings: Settings

    @classmethod
    def of(cls, first: FirstFrameFit, settings: Settings) -> KernelRidge:
        """Classifier before any later frame."""
        weights = _solve(first, first.gram, first.targets, settings)
        return cls(first, first.gram, first.targets, weights, weights, settings)

    @classmethod
    def fit(cls, unit: Tensor, colours: Tensor, coverage: Tensor, weights: Tensor, settings: Settings) -> KernelRidge:
        """Classifier fitted to a frame.

        Args:
            unit: float, n×256, unit features of the frame's cells (`cell_descriptors`).
            colours: float, n×6.
            coverage: float, n×N, 0 to 1: share of each cell that each object covers.
            weights: float, n: of each cell; 0 where its coverage is not known.
        """
        centre = unit.mean(dim=0)  # not weighted: it only has to be near the middle
        known = weights > 0
        cells = _descriptors(unit - centre, colours, settings)[known]
        coverage, weights = coverage[known], weights[known, None]
        # Objects are small beside the background: of cells that are equally new, theirs are preferred.
        importance = 1 + coverage.sum(dim=1).clamp(max=1)
        landmarks, whitening = choose_landmarks(cells, importance, settings.landmarks, settings.bandwidth)
        mean = (coverage * weights).mean(dim=0) / weights.mean()
        lifted = lift(cells, landmarks, whitening, settings.bandwidth)
        weighted = (lifted * weights).T
        first = FirstFrameFit(centre, landmarks, whitening, mean, weighted @ lifted, weighted @ (coverage - mean))
        return cls.of(first, settings)

    def lift(self, unit: Tensor, colours: Tensor) -> Tensor:
        """Nyström features of cells, in which the classifier is linear: float, n×m.

        Args: as for `fit`.
        """
        cells = self.descriptors(unit, colours)
        return lift(cells, self.first.landmarks, self.first.whitening, self.settings.bandwidth)

    def descriptors(self, unit: Tensor, colours: Tensor) -> Tensor:
        """Cells of the kernel, like the landmarks: float, n×d.

        Args: as for `fit`.
        """
        return _descriptors(unit - self.first.centre, colours, self.settings)

    def scores(self, lifted: Tensor) -> Tensor:
        """Estimated coverage of each cell by each object: float, n×N, about 0 to 1.

        Args:
            lifted: from `lift`.
        """
        return lifted @ self.weights + self.first.mean_coverage

    def first_frame_scores(self, lifted: Tensor) -> Tensor:
        """The same by the first frame alone."""
        return lifted @ self.first_weights + self.first.mean_coverage

    def update(
        self, lifted: Tensor, coverage: Tensor, weights: Tensor, rate: Tensor, cell_weight: float = 1.0
    ) -> KernelRidge:
        """Classifier with a later frame in its moving average.

        Args:
            lifted: from `lift`, n×m.
            coverage: float, n×N, 0 to 1: share of each cell that each object was found to cover.
            weights: float, n: confidence in each cell.
            rate: float, scalar, 0 to 1: share of this frame in the average; 0: no update.
            cell_weight: of a cell, as in `fit`.
        """
        weighted = (lifted * (weights * cell_weight / weights.amax().clamp(min=1e-6))[:, None]).T
        gram = torch.lerp(self.gram, weighted @ lifted, rate)
        targets = torch.lerp(self.targets, weighted @ (coverage - self.first.mean_coverage), rate)
        return replace(self, gram=gram, targets=targets, weights=_solve(self.first, gram, targets, self.settings))

    def select(self, rows: Tensor) -> KernelRidge:
        """Classifier of some of the objects."""
        first = self.first
        return replace(
            self,
            first=replace(first, mean_coverage=first.mean_coverage[rows], targets=first.targets[:, rows]),
            targets=self.targets[:, rows],
            weights=self.weights[:, rows],
            first_weights=self.first_weights[:, rows],
        )


def _solve(first: FirstFrameFit, gram: Tensor, targets: Tensor, settings: Settings) -> Tensor:
    """Weights for the first frame and the moving average of later ones."""
    gram = torch.lerp(gram, first.gram, settings.first_frame_share)
    targets = torch.lerp(targets, first.targets, settings.first_frame_share)
    return solve_ridge(gram, targets, settings.noise)


def solve_ridge(gram: Tensor, targets: Tensor, noise: float) -> Tensor:
    """Weights of a ridge regression, float, m×N.

    Args:
        gram: float, m×m.
        targets: float, m×N, the right-hand side.
        noise: the ridge.
    """
    # Positive definite, as its diagonal is: no need to check the result, which would synchronise with a GPU.
    factor = torch.linalg.cholesky_ex(gram + noise * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))[0]
    return torch.cholesky_solve(targets, factor)


def _descriptors(centred: Tensor, colours: Tensor, settings: Settings) -> Tensor:
    """Cells of the kernel: float, n×262."""
    return torch.cat((F.normalize(centred, dim=1), settings.colour_weight**0.5 * colours), dim=1)


def choose_landmarks(cells: Tensor, importance: Tensor, count: int, bandwidth: float) -> tuple[Tensor, Tensor]:
    """Landmarks of Nyström's approximation, and the inverse Cholesky factor of their kernel matrix.

    Args: as for `pivots`.
    Returns:
        float, m×d and m×m; m is at most ``count``.
    """
    landmarks = cells[pivots(cells, importance, count, bandwidth)]
    one = torch.eye(len(landmarks), dtype=cells.dtype, device=cells.device)
    factor = torch.linalg.cholesky(kernel(landmarks, landmarks, bandwidth) + _JITTER * one)
    return landmarks, torch.linalg.solve_triangular(factor, one, upper=False)


def lift(cells: Tensor, landmarks: Tensor, whitening: Tensor, bandwidth: float) -> Tensor:
    """Nyström features of cells, whose inner products approximate the kernel: float, n×m.

    Args:
        cells: float, n×d.
        landmarks: float, m×d.
        whitening: float, m×m, from `choose_landmarks`.
    """
    return kernel(cells, landmarks, bandwidth) @ whitening.T


def kernel(a: Tensor, b: Tensor, bandwidth: float) -> Tensor:
    """Gaussian kernel matrix, exp(-|x - y|² / (2 × bandwidth)), of …×n×d and …×m×d: float, …×n×m."""
    scaled = b / bandwidth
    exponents = a @ scaled.mT
    exponents -= (a.square().sum(dim=-1) / (2 * bandwidth))[..., :, None]
    exponents -= ((b * scaled).sum(dim=-1) / 2)[..., None, :]
    return _exp_(exponents)


def _exp_(exponents: Tensor) -> Tensor:
    """Exponentials, in place, of numbers that are positive only by rounding."""
    return exponents.clamp_(_MIN_EXPONENT, 0).exp_()


def pivots(cells: Tensor, importance: Tensor, count: int, bandwidth: float) -> Tensor:
    """Pivots of the pivoted Cholesky factorisation of the kernel matrix: each is the cell with the largest residual
    variance, weighted by its importance.

    Args:
        cells: float, n×d.
        importance: float, n, positive.
        count: maximum number of pivots; there are fewer where they explain all other cells.
        bandwidth: of the kernel.
    Returns:
        int, indices of the cells.
    """
    count = min(count, len(cells))
    squares = cells.square().sum(dim=1)
    residual = torch.ones_like(squares)
    rows = cells.new_zeros(count, len(cells))  # of the factor, transposed
    chosen = torch.zeros(count, dtype=torch.long, device=cells.device)
    for j in range(count):
        pivot = int((residual * importance).argmax())  # one synchronisation instead of one per use
        if residual[pivot] < _MIN_RESIDUAL:
            return chosen[:j]
        chosen[j] = pivot
        distance = squares + squares[pivot] - 2 * cells @ cells[pivot]
        row = _exp_(distance / (-2 * bandwidth)) - rows[:j, pivot] @ rows[:j]
        rows[j] = row / residual[pivot].sqrt()
        residual = (residual - rows[j].square()).clamp(min=0)
        residual[pivot] = 0
    return chosen

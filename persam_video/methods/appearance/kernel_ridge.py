"""The appearance classifier: kernel ridge regression of how much of a cell each object covers.

A linear classifier cannot tell a red shoe and a blue sleeve, both of the object, from a blue shoe that is not; the
nearest neighbour can, but trusts every single cell. Kernel ridge regression (the mean of a Gaussian process) is both:
it is smooth where the first frame's cells agree and local where they do not. On a set of landmark cells (Nyström's
approximation) it is a ridge regression on fixed features, whose statistics are sums over cells: later frames are
added as an exponential average, in bounded memory. All objects share the cells' statistics; each has a column of
targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.methods.appearance.settings import Settings

_JITTER = 1e-5
_LEAST_EXPONENT = -60.0
"""What is less alike counts as this: e^-60 is nothing beside 1, and far above the numbers (below 1e-38) with which
processors are a hundred times slower."""
_EXPLAINED = 1e-3
"""Cells of which less than this is new are no landmarks: flat pictures have few that differ."""


@dataclass(frozen=True, eq=False, slots=True)
class Given:
    """What is known of N objects from the frame in which they were given, float.

    Args:
        centre: 256, the mean of its unit features.
        landmarks: m×d, the descriptions of the cells that stand for all.
        whitening: m×m, the inverse of the factor (Cholesky) of their kernel.
        mean: N, each object's mean coverage.
        gram: m×m, and targets, m×N: the sums of the ridge regression.
    """

    centre: Tensor
    landmarks: Tensor
    whitening: Tensor
    mean: Tensor
    gram: Tensor
    targets: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class KernelRidge:
    """Scores of all objects of a frame in which they were given.

    Args:
        given: what is known from that frame.
        gram: m×m, and targets, m×N: the sums of the ridge regression over later frames.
        weights: m×N, what both sums come to.
        given_weights: m×N, what those of the given frame alone come to.
        settings: the constants.
    """

    given: Given
    gram: Tensor
    targets: Tensor
    weights: Tensor
    given_weights: Tensor
    settings: Settings

    @classmethod
    def of(cls, given: Given, settings: Settings) -> KernelRidge:
        """That of a frame alone."""
        weights = _solve(given, given.gram, given.targets, settings)
        return cls(given, given.gram, given.targets, weights, weights, settings)

    @classmethod
    def fit(cls, unit: Tensor, colours: Tensor, coverage: Tensor, counts: Tensor, settings: Settings) -> KernelRidge:
        """Learn from a frame.

        Args:
            unit: float, n×256, unit features of the frame's cells (`describe_cells`).
            colours: float, n×6.
            coverage: float, n×N, 0 to 1: how much of each cell each object covers.
            counts: bool, n: the cells that are known.
        """
        centre = unit.mean(dim=0)
        cells = _describe(unit - centre, colours, settings)[counts]
        coverage = coverage[counts]
        # Objects are small beside the background: their cells come first where both are as new.
        importance = 1 + coverage.sum(dim=1).clamp(max=1)
        landmarks, whitening = choose_landmarks(cells, importance, settings.landmarks, settings.bandwidth)
        mean = coverage.mean(dim=0)
        lifted = lift(cells, landmarks, whitening, settings.bandwidth)
        given = Given(centre, landmarks, whitening, mean, lifted.T @ lifted, lifted.T @ (coverage - mean))
        return cls.of(given, settings)

    def lift(self, unit: Tensor, colours: Tensor) -> Tensor:
        """Cells in the space in which the classifier is linear: float, n×landmarks."""
        given = self.given
        cells = _describe(unit - given.centre, colours, self.settings)
        return lift(cells, given.landmarks, given.whitening, self.settings.bandwidth)

    def scores(self, lifted: Tensor) -> Tensor:
        """How much of each cell each object is expected to cover: float, n×N, about 0 to 1.

        Args:
            lifted: from `lift`.
        """
        return lifted @ self.weights + self.given.mean

    def given_scores(self, lifted: Tensor) -> Tensor:
        """The same, by nothing but the frame in which the objects were given."""
        return lifted @ self.given_weights + self.given.mean

    def learn(self, lifted: Tensor, coverage: Tensor, weights: Tensor, rate: Tensor) -> KernelRidge:
        """With a later frame in the exponential average.

        Args:
            lifted: from `lift`, n×landmarks.
            coverage: float, n×N, 0 to 1: how much of each cell was found to be each object's.
            weights: float, n: how far each cell is to be trusted.
            rate: float, scalar, 0 to 1: the share of this frame in the average; of 0 nothing changes.
        """
        weighted = (lifted * (weights / weights.amax().clamp(min=1e-6))[:, None]).T
        gram = torch.lerp(self.gram, weighted @ lifted, rate)
        targets = torch.lerp(self.targets, weighted @ (coverage - self.given.mean), rate)
        return replace(self, gram=gram, targets=targets, weights=_solve(self.given, gram, targets, self.settings))

    def select(self, indices: Tensor) -> KernelRidge:
        """That of some of the objects alone."""
        given = self.given
        return replace(
            self,
            given=replace(given, mean=given.mean[indices], targets=given.targets[:, indices]),
            targets=self.targets[:, indices],
            weights=self.weights[:, indices],
            given_weights=self.given_weights[:, indices],
        )


def _solve(given: Given, gram: Tensor, targets: Tensor, settings: Settings) -> Tensor:
    """The weights by a frame's sums and those of later ones."""
    gram = torch.lerp(gram, given.gram, settings.first_share)
    targets = torch.lerp(targets, given.targets, settings.first_share)
    return solve_ridge(gram, targets, settings.noise)


def solve_ridge(gram: Tensor, targets: Tensor, noise: float) -> Tensor:
    """The weights of a ridge regression, float, m×N, by its sums, float, m×m and m×N."""
    # Positive definite, as its diagonal is: nothing to check, which a GPU would have to be waited for.
    factor = torch.linalg.cholesky_ex(gram + noise * torch.eye(len(gram), device=gram.device))[0]
    return torch.cholesky_solve(targets, factor)


def _describe(centred: Tensor, colours: Tensor, settings: Settings) -> Tensor:
    return torch.cat((F.normalize(centred, dim=1), settings.colour_weight**0.5 * colours), dim=1)


def choose_landmarks(cells: Tensor, importance: Tensor, count: int, bandwidth: float) -> tuple[Tensor, Tensor]:
    """The landmarks of Nyström's approximation, and the inverse of the factor (Cholesky) of their kernel.

    Args: as for `pivots`.
    Returns:
        float, m×d and m×m; m is at most ``count``.
    """
    landmarks = cells[pivots(cells, importance, count, bandwidth)]
    one = torch.eye(len(landmarks), device=cells.device)
    factor = torch.linalg.cholesky(kernel(landmarks, landmarks, bandwidth) + _JITTER * one)
    return landmarks, torch.linalg.solve_triangular(factor, one, upper=False)


def lift(cells: Tensor, landmarks: Tensor, whitening: Tensor, bandwidth: float) -> Tensor:
    """Cells, float, n×d, in the space in which their kernel is nearly the product: float, n×m."""
    return kernel(cells, landmarks, bandwidth) @ whitening.T


def kernel(a: Tensor, b: Tensor, bandwidth: float) -> Tensor:
    """The Gaussian kernel of descriptions, …×n×d and …×m×d: float, …×n×m."""
    scaled = b / bandwidth
    exponents = a @ scaled.mT
    exponents -= (a.square().sum(dim=-1) / (2 * bandwidth))[..., :, None]
    exponents -= ((b * scaled).sum(dim=-1) / 2)[..., None, :]
    return _exp(exponents)


def _exp(exponents: Tensor) -> Tensor:
    """The exponential of what is 0 at the most but for rounding, in its place."""
    return exponents.clamp_(_LEAST_EXPONENT, 0).exp_()


def pivots(cells: Tensor, importance: Tensor, count: int, bandwidth: float) -> Tensor:
    """The cells that tell most of all others: those that a pivoted Cholesky factorisation of the kernel takes.

    Each is the one that those before it explain least, weighed by its importance.

    Args:
        cells: float, n×d.
        importance: float, n, positive.
        count: at most so many; fewer where all the others are explained.
        bandwidth: of the kernel.
    Returns:
        int, of 0 … n-1.
    """
    count = min(count, len(cells))
    squares = cells.square().sum(dim=1)
    unexplained = torch.ones_like(squares)
    rows = cells.new_zeros(count, len(cells))  # of the factor, transposed
    taken = torch.zeros(count, dtype=torch.long, device=cells.device)
    for j in range(count):
        pivot = int((unexplained * importance).argmax())  # waited for once, not wherever it is used
        if unexplained[pivot] < _EXPLAINED:
            return taken[:j]
        taken[j] = pivot
        distance = squares + squares[pivot] - 2 * cells @ cells[pivot]
        rest = _exp(distance / (-2 * bandwidth)) - rows[:j, pivot] @ rows[:j]
        rows[j] = rest / unexplained[pivot].sqrt()
        unexplained = (unexplained - rows[j].square()).clamp(min=0)
        unexplained[pivot] = 0
    return taken

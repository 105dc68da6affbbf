"""Personalising objects for the appearance method: all that is learned from their first frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from persam_video.frame import Frame, Image
from persam_video.methods.appearance.descriptors import Colours, cell_descriptors
from persam_video.methods.appearance.fusion import fuse
from persam_video.methods.appearance.kernel_ridge import KernelRidge
from persam_video.methods.appearance.memory import Memory
from persam_video.methods.appearance.motion_prior import MotionPrior
from persam_video.methods.appearance.presence import Presence
from persam_video.methods.appearance.residuals import ResidualModel
from persam_video.methods.appearance.scenes import Scene, pooled_cells
from persam_video.methods.appearance.score_statistics import ScoreStatistics
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.step import to_low_res
from persam_video.sam.grids import FEATURE_SIZE, INPUT_SIZE, LOW_RES_SIZE, most_covered, to_grid
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import PROB_EPS, softmax_with_background
from persam_video.sam.window import Window

_SIDE_STEP = 64
_NEIGHBOUR_PIXELS = 1.0
"""Input pixels of the windows around the first one, relative to those of a whole frame."""


def personalise(
    sam: Sam, frame: Frame, features: Features, masks: Tensor, ignored: Tensor, settings: Settings
) -> Memory:
    """Memory of objects in their first frame, in the window of the features.

    Args:
        sam: the model.
        features: of the frame, or of a window in which all of the masks are.
        masks: bool, N×H×W, on the CPU; none is empty.
        ignored: bool, H×W, on the CPU: pixels that are neither object nor background.
    """
    window = features.window
    views = [features, *(sam.encode(frame.image, each) for each in training_windows(window))]
    windows = [each.window for each in views]
    cells = [_labelled_cells(each, masks, ignored, windows) for each in views]
    unit, colours, coverage, weights = map(torch.cat, zip(*cells, strict=True))
    classifier = KernelRidge.fit(unit, colours, coverage, weights, settings)
    masks, ignored = window.crop_masks(masks), window.crop(ignored)
    image = window.crop(frame.image)
    statistics, presence, samples = _fit_to_mirrored(sam, image, window.side, classifier, masks, ignored, settings)
    probabilities = _to_probabilities(masks, features)
    areas = probabilities.sum(dim=(1, 2))
    pooled = classifier.descriptors(*pooled_cells(*cells[0][:2], features.tensor.shape[2:]))
    return Memory(
        classifiers=(classifier,),
        first_statistics=statistics,
        statistics=statistics,
        first_presence=presence,
        first_areas=areas,
        residuals=ResidualModel.fit(samples, settings, window.cell_weight),
        scenes=(Scene.of(pooled, len(masks)),),
        areas=areas,
        absent=torch.zeros_like(areas, dtype=torch.bool),
        probabilities=probabilities.clamp(PROB_EPS, 1 - PROB_EPS),
    )


def training_windows(window: Window) -> list[Window]:
    """Further windows of the first frame to which the classifier is fitted beside the one of the objects.

    Background that comes into view later looks another way at another scale. The whole frame is learned, at the scale
    of the window if it is not too large at that; otherwise windows of the same size and scale around it, too.
    """
    if window.is_whole:
        return []
    whole_side = round(window.scale * max(window.frame_width, window.frame_height) / _SIDE_STEP) * _SIDE_STEP
    whole = Window.whole((window.frame_height, window.frame_width), min(whole_side, INPUT_SIZE))
    if whole_side <= INPUT_SIZE:
        return [whole]
    count = round(_NEIGHBOUR_PIXELS * whole.input_pixels / window.input_pixels)
    return [*_neighbours(window)[:count], whole]


def _neighbours(window: Window) -> list[Window]:
    """Windows beside a window, those with most of what is not in it first."""
    across = [min(max(0, window.left + step * window.width), window.frame_width - window.width) for step in (-1, 0, 1)]
    down = [min(max(0, window.top + step * window.height), window.frame_height - window.height) for step in (-1, 0, 1)]
    around = {replace(window, left=left, top=top) for left in across for top in down} - {window}
    return sorted(around, key=lambda each: (_overlap(each, window), each.left, each.top))


def _overlap(one: Window, other: Window) -> int:
    """Number of pixels that are in two windows of the same size."""
    return (one.width - abs(one.left - other.left)) * (one.height - abs(one.top - other.top))


def _labelled_cells(
    features: Features, masks: Tensor, ignored: Tensor, views: Sequence[Window]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cells of one of several windows of a frame for `KernelRidge.fit`. Their weight is their area, divided by the
    number of windows in which they are."""
    window, device = features.window, features.tensor.device
    coverage = to_grid(window.crop_masks(masks), FEATURE_SIZE, window.side).to(device)
    ignored_share = to_grid(window.crop(ignored)[None], FEATURE_SIZE, window.side)[0].to(device)
    known = (ignored_share < 0.5) | (coverage.amax(dim=0) > 0)
    weights = known.to(coverage) * (window.cell_weight / _times_seen(window, views).to(coverage))
    return *frame_cells(features), coverage.flatten(1).T, weights.flatten()


def _times_seen(window: Window, views: Sequence[Window]) -> Tensor:
    """Number of windows in which the centre of each cell of the feature grid of one of them is: int, rows×columns."""
    rows, columns = window.geometry.grid(FEATURE_SIZE)
    cell = INPUT_SIZE / FEATURE_SIZE / window.scale
    # The last row and column may reach beyond the window.
    x = (window.left + (torch.arange(columns, device="cpu") + 0.5) * cell).clamp(max=window.left + window.width - 0.5)
    y = (window.top + (torch.arange(rows, device="cpu") + 0.5) * cell).clamp(max=window.top + window.height - 0.5)
    seen = torch.zeros(rows, columns, dtype=torch.long, device="cpu")
    for each in views:
        in_columns = (x >= each.left) & (x < each.left + each.width)
        in_rows = (y >= each.top) & (y < each.top + each.height)
        seen += in_rows[:, None] & in_columns
    return seen


def frame_cells(features: Features) -> tuple[Tensor, Tensor]:
    """`cell_descriptors` of a window."""
    (colours,) = Colours.on_grids(features.pixels, features.geometry, [FEATURE_SIZE])
    return cell_descriptors(features, colours)


def _fit_to_mirrored(
    sam: Sam,
    image: Image,
    side: int,
    classifier: KernelRidge,
    masks: Tensor,
    ignored: Tensor,
    settings: Settings,
) -> tuple[ScoreStatistics, Presence, list[tuple[Tensor, Tensor]]]:
    """Statistics, presence and samples for the residual model, from the mirrored window, which the classifier was not
    fitted to.

    Args:
        image: of the window, RGB, uint8, h×w×3.
        side: of the window.
        masks: bool, N×h×w.
        ignored: bool, h×w.
    """
    image = np.ascontiguousarray(image[:, ::-1])
    masks, ignored = masks.flip(-1), ignored.flip(-1)
    features = sam.encode(image, Window.whole(image.shape, side))
    device = features.tensor.device
    coverage = to_grid(masks, FEATURE_SIZE, side).to(device)
    known = 1 - to_grid(ignored[None], FEATURE_SIZE, side).to(device)
    colours, fine_colours = Colours.on_grids(features.pixels, features.geometry, (FEATURE_SIZE, LOW_RES_SIZE))
    scores = classifier.scores(classifier.lift(*cell_descriptors(features, colours))).T.view_as(coverage)
    statistics = ScoreStatistics.measure(scores, coverage, (known - coverage).clamp(min=0))
    truth = _to_probabilities(masks, features)
    separated = statistics.with_minimum_separation(statistics)
    likeness, areas = separated.likeness(scores), truth.sum(dim=(1, 2))
    presence = Presence.measure(separated, scores, likeness, truth > 0.5, areas, settings)
    evidence = separated.log_odds(to_low_res(scores, features))
    samples = _error_samples(sam, features, fine_colours, evidence, truth, ignored, settings)
    return statistics, presence, samples


def _error_samples(
    sam: Sam,
    features: Features,
    colours: Colours,
    evidence: Tensor,
    truth: Tensor,
    ignored: Tensor,
    settings: Settings,
) -> list[tuple[Tensor, Tensor]]:
    """Samples for `ResidualModel.fit`, from two rounds of fusion: with the true masks as the propagated ones, then
    with the result."""
    known = to_grid(ignored[None], LOW_RES_SIZE, features.geometry.side).to(truth.device) < 0.5
    areas = truth.sum(dim=(1, 2))
    absent = torch.zeros_like(areas, dtype=torch.bool)
    propagated = truth.clamp(PROB_EPS, 1 - PROB_EPS)
    rounds = []
    for _ in range(2):
        motion = MotionPrior.of(propagated, areas, absent, settings)
        fused = fuse(sam.decode, features, colours, evidence, motion, settings)
        errors = (truth - fused.logits.sigmoid()).flatten(1)
        regions = (fused.regions & known).flatten(1)
        inputs = fused.residual_inputs
        rounds.append([(inputs.at(row, region), errors[row][region]) for row, region in enumerate(regions)])
        propagated = softmax_with_background(fused.logits)
    return [(torch.cat((a, c)), torch.cat((b, d))) for (a, b), (c, d) in zip(*rounds, strict=True)]


def _to_probabilities(masks: Tensor, features: Features) -> Tensor:
    """Probabilities of masks, bool, N×H×W: float, N×h×w of the low-res grid, above one half somewhere even for objects
    that are smaller than a cell."""
    coverage = to_grid(masks, LOW_RES_SIZE, features.geometry.side).to(features.tensor.device)
    return torch.where(most_covered(coverage), coverage.clamp(min=0.75), coverage)

"""Appearance method, the default: a classifier of each object's appearance, optical flow and SAM (`fuse`).

The errors of their sum in an object's first frame are learned, too (`ResidualModel`). Only the returned masks are
corrected for them, not those that the next frame starts from: there a wrong correction would not be recognised as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from persam_video.methods.appearance.step import Step, to_low_res
from persam_video.methods.cuts import Reduced
from persam_video.methods.flow import FlowInputs, reduced_image
from persam_video.runtime.cuda_graphs import GraphedCallable
from persam_video.sam.grids import FEATURE_SIZE, LOW_RES_SIZE, most_covered, to_grid
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import PROB_EPS, softmax_with_background


class AppearanceMethod:
    """Tracking by learned appearance, optical flow and SAM. See `Method` for the methods.

    Args:
        sam: from `load_sam`.
        settings: the constants.
    """

    prepares = True

    def __init__(self, sam: Sam, settings: Settings | None = None) -> None:
        self._sam = sam
        self._settings = settings or Settings()
        self._step = GraphedCallable(Step(sam.decode, self._settings), sam.capture)
        self._memory: Memory | None = None
        self._previous: Reduced | None = None  # `reduce` of the previous frame

    def reduce(self, image: Image) -> Reduced:
        """Reduced image (`reduced_image`)."""
        return reduced_image(image)

    def prepare(self, reduced: Reduced, previous: Reduced | None) -> FlowInputs:
        """Optical flow of a frame, and whether it follows a cut."""
        return FlowInputs.of(previous, reduced, pinned=self._sam.device.type == "cuda")

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Personalise further objects."""
        self._previous = self.reduce(frame.image)
        added = self._personalise(frame, features, masks, ignored)
        self._memory = added if self._memory is None else self._memory.concat(added)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all objects but those of some rows."""
        self._memory = self._objects.select(torch.tensor(rows, dtype=torch.long, device=self._sam.device))

    def state(self) -> dict[str, Tensor]:
        """Personalised state of all objects (`Memory.state`)."""
        return self._objects.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Start with the objects of a `state`, all of them absent."""
        self._memory = Memory.from_state(state, self._settings)

    def find(self, frame: Frame, features: Features, prepared: FlowInputs | None = None) -> tuple[Tensor, Tensor]:
        """Find all objects in the next frame.

        An object's score is the product of SAM's predicted IoU, the mean evidence of the classifier within the mask,
        the overlap of the mask with the propagated one (if the object was visible), and the certainty of the fused
        probabilities. It is of the mask before the residual model corrects it.
        """
        prepared = prepared or self.prepare(self.reduce(frame.image), self._previous)
        self._previous = prepared.reduced
        flow, cut = (each.to(self._sam.device, non_blocking=True) for each in (prepared.flow, prepared.cut))
        self._memory, logits, scores = self._step(self._objects, features, flow, cut)
        return logits, scores

    @property
    def _objects(self) -> Memory:
        assert self._memory is not None, "no object was added"
        return self._memory

    def _personalise(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> Memory:
        """Memory of objects in their first frame. Arguments as for `Method.add`."""
        device = features.tensor.device
        side = features.geometry.side
        coverage = to_grid(masks, FEATURE_SIZE, side).to(device)
        known = (to_grid(ignored[None], FEATURE_SIZE, side)[0].to(device) < 0.5) | (coverage.amax(dim=0) > 0)
        (colours,) = Colours.on_grids(features.pixels, features.geometry, [FEATURE_SIZE])
        cells = cell_descriptors(features, colours)
        classifier = KernelRidge.fit(*cells, coverage.flatten(1).T, known.flatten(), self._settings)
        statistics, presence, residuals = self._fit_to_mirrored(frame, classifier, masks, ignored)
        probabilities = _to_probabilities(masks, features)
        areas = probabilities.sum(dim=(1, 2))
        pooled = classifier.descriptors(*pooled_cells(*cells, features.tensor.shape[2:]))
        return Memory(
            classifiers=(classifier,),
            first_statistics=statistics,
            statistics=statistics,
            first_presence=presence,
            first_areas=areas,
            residuals=residuals,
            scenes=(Scene.of(pooled, len(masks)),),
            areas=areas,
            absent=torch.zeros_like(areas, dtype=torch.bool),
            probabilities=probabilities.clamp(PROB_EPS, 1 - PROB_EPS),
        )

    def _fit_to_mirrored(
        self, frame: Frame, classifier: KernelRidge, masks: Tensor, ignored: Tensor
    ) -> tuple[ScoreStatistics, Presence, ResidualModel]:
        """Statistics, presence and residual model from the mirrored frame, which the classifier was not fitted to."""
        image = np.ascontiguousarray(frame.image[:, ::-1])
        masks, ignored = masks.flip(-1), ignored.flip(-1)
        features = self._sam.encode(image)
        device = features.tensor.device
        side = features.geometry.side
        coverage = to_grid(masks, FEATURE_SIZE, side).to(device)
        known = 1 - to_grid(ignored[None], FEATURE_SIZE, side).to(device)
        colours, fine_colours = Colours.on_grids(features.pixels, features.geometry, (FEATURE_SIZE, LOW_RES_SIZE))
        scores = classifier.scores(classifier.lift(*cell_descriptors(features, colours))).T.view_as(coverage)
        statistics = ScoreStatistics.measure(scores, coverage, (known - coverage).clamp(min=0))
        truth = _to_probabilities(masks, features)
        separated = statistics.with_minimum_separation(statistics)
        likeness, areas = separated.likeness(scores), truth.sum(dim=(1, 2))
        presence = Presence.measure(separated, scores, likeness, truth > 0.5, areas, self._settings)
        evidence = separated.log_odds(to_low_res(scores, features))
        samples = self._error_samples(features, fine_colours, evidence, truth, ignored)
        return statistics, presence, ResidualModel.fit(samples, self._settings)

    def _error_samples(
        self, features: Features, colours: Colours, evidence: Tensor, truth: Tensor, ignored: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Samples for `ResidualModel.fit`, from two rounds of fusion: with the true masks as the propagated ones, then
        with the result."""
        known = to_grid(ignored[None], LOW_RES_SIZE, features.geometry.side).to(truth.device) < 0.5
        areas = truth.sum(dim=(1, 2))
        absent = torch.zeros_like(areas, dtype=torch.bool)
        propagated = truth.clamp(PROB_EPS, 1 - PROB_EPS)
        rounds = []
        for _ in range(2):
            motion = MotionPrior.of(propagated, areas, absent, self._settings)
            fused = fuse(self._sam.decode, features, colours, evidence, motion, self._settings)
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

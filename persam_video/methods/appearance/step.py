"""One frame of the appearance method: find the objects, then update their state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.methods.appearance.descriptors import Colours, cell_descriptors
from persam_video.methods.appearance.fusion import fuse
from persam_video.methods.appearance.memory import Memory
from persam_video.methods.appearance.motion_prior import MotionPrior
from persam_video.methods.appearance.presence import Presence
from persam_video.methods.appearance.scenes import pooled_cells
from persam_video.methods.appearance.score_statistics import ScoreStatistics
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import pool
from persam_video.methods.flow import warp
from persam_video.sam.grids import FEATURE_SIZE, LOW_RES_SIZE
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import MaskDecoder
from persam_video.sam.object_masks import PROB_EPS, argmax_masks, softmax_with_background

ABSENT_LOGIT = -10.0
"""Log-odds of an absent object in every cell."""


class Step:
    """Function of one frame that a CUDA graph can capture (`GraphedCallable`): it changes no state and reads no number
    of a tensor.

    Args:
        decode: SAM's decoder.
        settings: the constants.
    """

    def __init__(self, decode: MaskDecoder, settings: Settings) -> None:
        self._decode = decode
        self._settings = settings

    def __call__(self, memory: Memory, features: Features, flow: Tensor, cut: Tensor) -> tuple[Memory, Tensor, Tensor]:
        """Find all objects in the next frame.

        Args:
            memory: after the previous frame, in the window of this one.
            features: of the frame or a window of it.
            flow: `FlowInputs.flow` of the window, on the device.
            cut: `FlowInputs.cut`, on the device: if so, all objects are taken for absent until they are found.
        Returns:
            memory after the frame, and logits and scores as `AppearanceMethod.find` returns them.
        """
        settings = self._settings
        memory = memory.at_cut(cut)
        colours, fine_colours = Colours.on_grids(features.pixels, features.geometry, (FEATURE_SIZE, LOW_RES_SIZE))
        cells = cell_descriptors(features, colours)
        lifted = [classifier.lift(*cells) for classifier in memory.classifiers]
        pairs = list(zip(memory.classifiers, lifted, strict=True))
        size = features.tensor.shape[2:]
        scores = torch.cat([each.scores(x).T for each, x in pairs]).view(-1, *size)
        first_frame_scores = torch.cat([each.first_frame_scores(x).T for each, x in pairs]).view(-1, *size)

        propagated = warp(memory.probabilities, flow).clamp(PROB_EPS, 1 - PROB_EPS)
        motion = MotionPrior.of(propagated, memory.areas, memory.absent, settings)
        evidence = self._statistics(memory, scores, motion).log_odds(to_low_res(scores, features))
        fused = fuse(self._decode, features, fine_colours, evidence, motion, settings)
        probabilities, masks = softmax_with_background(fused.logits), argmax_masks(fused.logits)

        stability = _soft_iou(masks, motion.propagated_mask)
        certainty = _soft_iou(masks.float(), probabilities)
        mean_evidence = (evidence.sigmoid() * masks).sum(dim=(1, 2)) / masks.sum(dim=(1, 2)).clamp(min=1)
        mask_scores = fused.iou_predictions * certainty * mean_evidence * torch.where(memory.absent, 1, stability)

        means = pooled_cells(*cells, size)
        pooled = [classifier.descriptors(*means) for classifier in memory.classifiers]
        similarities = [
            scene.similarity(each, settings.bandwidth) for scene, each in zip(memory.scenes, pooled, strict=True)
        ]
        absent = self._absent(memory, scores, first_frame_scores, masks, similarities)
        trust = stability * fused.iou_predictions
        weight = features.window.cell_weight
        updated = self._update(memory, scores, lifted, motion, probabilities, masks, absent, trust, weight)
        parts = [absent[part] for _, part in memory.groups()]
        scenes = [
            scene.updated(each, similarity, part, settings)
            for scene, each, similarity, part in zip(memory.scenes, pooled, similarities, parts, strict=True)
        ]
        updated = replace(updated, scenes=tuple(scenes))
        logits = memory.residuals.correct(fused.logits, fused.residual_inputs, fused.regions)
        return (
            updated,
            torch.where(absent[:, None, None], ABSENT_LOGIT, logits),
            torch.where(absent, 0, mask_scores),
        )

    def _statistics(self, memory: Memory, scores: Tensor, motion: MotionPrior) -> ScoreStatistics:
        """Score statistics in this frame: those of the frames before, blended with those of the propagated masks for
        all objects that have one."""
        foreground, background = pool(torch.cat((motion.propagated, motion.background_ring)), scores.shape[1:]).chunk(2)
        has_mask = ~memory.absent & motion.propagated_mask.any(dim=2).any(dim=1)
        current = ScoreStatistics.measure(scores, foreground, background)
        blended = memory.statistics.blend(current, has_mask.float() * self._settings.current_frame_share)
        return blended.with_minimum_separation(memory.first_statistics)

    def _absent(
        self, memory: Memory, scores: Tensor, first_frame_scores: Tensor, masks: Tensor, similarities: Sequence[Tensor]
    ) -> Tensor:
        """Objects that are not where their masks are, bool, N.

        Args:
            similarities: of the frame to each classifier's `Scene`.
        """
        first = memory.first_statistics
        statistics = memory.statistics.with_minimum_separation(first)
        # Updates may have drifted to another object: cells must look like the object by its first frame, too.
        first_likeness = first.with_minimum_separation(first).likeness(first_frame_scores)
        likeness = torch.minimum(statistics.likeness(scores), first_likeness)
        presence = Presence.measure(statistics, scores, likeness, masks, memory.first_areas, self._settings)
        pairs = zip(memory.scenes, similarities, strict=True)
        confidence = torch.cat([scene.confidence(each, self._settings) for scene, each in pairs])
        presence = replace(presence, contrast=presence.contrast * confidence)
        return presence.absent(memory.first_presence, memory.absent, self._settings) | ~masks.any(dim=2).any(dim=1)

    def _update(
        self,
        memory: Memory,
        scores: Tensor,
        lifted: Sequence[Tensor],
        motion: MotionPrior,
        probabilities: Tensor,
        masks: Tensor,
        absent: Tensor,
        trust: Tensor,
        cell_weight: float,
    ) -> Memory:
        """Memory after the frame. Classifiers and statistics are updated for visible objects.

        Args:
            lifted: from `KernelRidge.lift`, per classifier.
            absent: bool, N: in this frame.
            trust: float, N, 0 to 1: confidence in each mask, which scales its update.
            cell_weight: `Window.cell_weight`.
        """
        settings = self._settings
        present = ~absent
        trust = torch.where(present, trust, 0)
        ring = motion.background_ring * (1 - probabilities)
        shares, background = pool(torch.cat((probabilities, ring)), scores.shape[1:]).chunk(2)
        coverage = shares * present[:, None, None]
        classifiers = []
        for (classifier, part), cells in zip(memory.groups(), lifted, strict=True):
            group_coverage, group_trust = coverage[part].flatten(1).T, trust[part]
            # Cells of objects that are taken for absent are not background either.
            rest = (1 - shares[part].sum(dim=0).flatten()).clamp(min=0)
            weights = group_coverage @ group_trust + rest * group_trust.mean()
            rate = settings.update_rate * group_trust.amax()
            classifiers.append(classifier.update(cells, group_coverage, weights, rate, cell_weight))
        current = ScoreStatistics.measure(scores, coverage, background)
        return replace(
            memory,
            classifiers=tuple(classifiers),
            statistics=memory.statistics.blend(current, settings.update_rate * trust),
            areas=torch.where(present, masks.sum(dim=(1, 2)).float(), memory.areas),
            absent=absent,
            probabilities=torch.where(present[:, None, None], probabilities, PROB_EPS),
        )


def to_low_res(maps: Tensor, features: Features) -> Tensor:
    """Maps of the feature grid, resized to the low-res grid: float, N×h×w."""
    return F.interpolate(maps[:, None], size=features.geometry.grid(LOW_RES_SIZE), mode="bilinear")[:, 0]


def _soft_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of maps, float, 0 to 1, or bool, N×h×w: float, N; 0 where both are empty."""
    intersection = torch.minimum(a, b).sum(dim=(1, 2))
    return intersection / torch.maximum(a, b).sum(dim=(1, 2)).float().clamp(min=1e-3)

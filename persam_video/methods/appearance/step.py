"""What the default method does with every frame: the objects are found, and learned as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.methods.appearance.descriptors import Colours, describe_cells
from persam_video.methods.appearance.flow import carry
from persam_video.methods.appearance.fusion import consult
from persam_video.methods.appearance.memory import Memory, resized
from persam_video.methods.appearance.motion_prior import Whereabouts
from persam_video.methods.appearance.presence import Presence
from persam_video.methods.appearance.score_statistics import Levels
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import pool
from persam_video.sam.grids import FEATURE_SIZE, LOW_RES_SIZE
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import MaskDecoder
from persam_video.sam.object_masks import PROB_EPS, argmax_masks, softmax_with_background

_NOWHERE = -10.0
"""The log-odds of an absent object, everywhere."""


class Step:
    """A frame's work, which can be recorded (`GraphedCallable`): it changes nothing, and needs no number of a tensor.

    Args:
        decode: SAM's decoder.
        settings: the constants.
    """

    def __init__(self, decode: MaskDecoder, settings: Settings) -> None:
        self._decode = decode
        self._settings = settings

    def __call__(self, memory: Memory, features: Features, flow: Tensor) -> tuple[Memory, Tensor, Tensor]:
        """The objects in the next frame, with the flow from the one before (`Cues`).

        Returns:
            what is remembered after it, and what `AppearanceMethod.find` returns.
        """
        settings = self._settings
        colours, finer = Colours.on_grids(features.pixels, features.geometry, (FEATURE_SIZE, LOW_RES_SIZE))
        cells = describe_cells(features, colours)
        lifted = [classifier.lift(*cells) for classifier in memory.classifiers]
        pairs = list(zip(memory.classifiers, lifted, strict=True))
        size = features.tensor.shape[2:]
        scores = torch.cat([classifier.scores(each).T for classifier, each in pairs]).view(-1, *size)
        given_scores = torch.cat([classifier.given_scores(each).T for classifier, each in pairs]).view(-1, *size)
        carried = resized(memory.found, features.geometry.grid(LOW_RES_SIZE))
        carried = carry(carried, flow).clamp(PROB_EPS, 1 - PROB_EPS)
        whereabouts = Whereabouts.of(carried, memory.areas, memory.absent, settings)
        levels = self._present_levels(memory, scores, whereabouts)

        evidence = levels.log_odds(to_places(scores, features))
        together = consult(self._decode, features, finer, evidence, whereabouts, settings)
        corrected = memory.residuals.correct(together.logits, together.places, together.regions)

        found, masks = softmax_with_background(together.logits), argmax_masks(together.logits)
        stable = _overlap(masks, whereabouts.likely)
        certain = _overlap(masks.float(), found)
        alike = (evidence.sigmoid() * masks).sum(dim=(1, 2)) / masks.sum(dim=(1, 2)).clamp(min=1)
        doubts = together.expected * certain * alike * torch.where(memory.absent, 1, stable)

        absent = self._absent(memory, scores, given_scores, masks)
        memory = self._remember(memory, scores, lifted, whereabouts, found, masks, absent, stable * together.expected)
        corrected = torch.where(memory.absent[:, None, None], _NOWHERE, corrected)
        return memory, corrected, torch.where(memory.absent, 0, doubts)

    def _present_levels(self, memory: Memory, scores: Tensor, whereabouts: Whereabouts) -> Levels:
        """The levels as they are in this frame, by what is carried; those that were learned for what is absent."""
        carried, around = pool(torch.cat((whereabouts.carried, whereabouts.around)), scores.shape[1:]).chunk(2)
        seen = ~memory.absent & whereabouts.likely.any(dim=2).any(dim=1)
        share = seen * self._settings.now_share
        return memory.levels.blend(Levels.measure(scores, carried, around), share).at_least(memory.first_levels)

    def _absent(self, memory: Memory, scores: Tensor, given_scores: Tensor, masks: Tensor) -> Tensor:
        """Which objects are not where their masks are, bool, N."""
        levels, given_levels = (each.at_least(memory.first_levels) for each in (memory.levels, memory.first_levels))
        # What was learned since may be another thing: what looks like the object must do so by what was given, too.
        alike = torch.minimum(levels.alike(scores), given_levels.alike(given_scores))
        seen = Presence.measure(levels, scores, alike, masks, memory.first_areas, self._settings)
        return seen.absent(memory.first_presence, memory.absent, self._settings) | ~masks.any(dim=2).any(dim=1)

    def _remember(
        self,
        memory: Memory,
        scores: Tensor,
        lifted: Sequence[Tensor],
        whereabouts: Whereabouts,
        found: Tensor,
        masks: Tensor,
        absent: Tensor,
        trust: Tensor,
    ) -> Memory:
        """Learn from what is not absent, bool, N, as far as it is to be trusted, float, N, 0 to 1."""
        settings = self._settings
        size = scores.shape[1:]
        present = ~absent
        trust = torch.where(present, trust, 0)
        shares, around = pool(torch.cat((found, whereabouts.around * (1 - found))), size).chunk(2)
        coverage = shares * present[:, None, None]  # what is thought absent is neither learned nor background
        classifiers = []
        for (classifier, part), each in zip(memory.groups(), lifted, strict=True):
            mine, own = coverage[part].flatten(1).T, trust[part]
            background = (1 - shares[part].sum(dim=0).flatten()).clamp(min=0)
            weights = mine @ own + background * own.mean()
            classifiers.append(classifier.learn(each, mine, weights, settings.rate * own.amax()))
        now = Levels.measure(scores, coverage, around)
        return replace(
            memory,
            classifiers=tuple(classifiers),
            levels=memory.levels.blend(now, settings.rate * trust),
            areas=torch.where(present, masks.sum(dim=(1, 2)).float(), memory.areas),
            absent=absent,
            found=torch.where(present[:, None, None], found, PROB_EPS),
        )


def to_places(scores: Tensor, features: Features) -> Tensor:
    """Maps of the features' grid on the low-res grid, float, N×h×w."""
    return F.interpolate(scores[:, None], size=features.geometry.grid(LOW_RES_SIZE), mode="bilinear")[:, 0]


def _overlap(masks: Tensor, others: Tensor) -> Tensor:
    """The intersection over the union of maps, float, 0 to 1, or bool, N×h×w: float, N; 0 of two that are empty."""
    together = torch.minimum(masks, others).sum(dim=(1, 2))
    return together / torch.maximum(masks, others).sum(dim=(1, 2)).clamp(min=1e-3)

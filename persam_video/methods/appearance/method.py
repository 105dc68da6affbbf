"""The default method: an appearance classifier for every object, optical flow, and SAM (`consensus`).

What their sum got wrong where the object was given is corrected in what is returned (`residuals`), not in what the next
frame starts from: a wrong correction that is carried on is not seen as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from persam_video.frame import Frame
from persam_video.methods.appearance.descriptors import Colours, describe_cells
from persam_video.methods.appearance.flow import Grey, small_grey
from persam_video.methods.appearance.flow_inputs import Cues
from persam_video.methods.appearance.fusion import consult
from persam_video.methods.appearance.kernel_ridge import KernelRidge
from persam_video.methods.appearance.memory import Memory
from persam_video.methods.appearance.motion_prior import Whereabouts
from persam_video.methods.appearance.presence import Presence
from persam_video.methods.appearance.residuals import Residuals
from persam_video.methods.appearance.score_statistics import Levels
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.step import Step, to_places
from persam_video.runtime.cuda_graphs import GraphedCallable
from persam_video.sam.grids import FEATURE_SIZE, LOW_RES_SIZE, most_covered, to_grid
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import PROB_EPS, softmax_with_background


class AppearanceMethod:
    """Finds objects by their learned appearance, their motion and SAM.

    Args:
        sam: from `load_sam`.
        settings: the constants.
    """

    def __init__(self, sam: Sam, settings: Settings | None = None) -> None:
        self._sam = sam
        self._settings = settings or Settings()
        self._step = GraphedCallable(Step(sam.decode, self._settings), sam.capture)
        self._memory: Memory | None = None
        self._grey: Grey | None = None  # the frame before

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Learn from a frame in which objects are given.

        Args:
            masks: bool, N×H×W, on the CPU; none is empty.
            ignored: bool, H×W: what is neither object nor background.
        """
        self._grey = small_grey(frame.image)
        learned = self._learn(frame, features, masks, ignored)
        self._memory = learned if self._memory is None else self._memory.join(learned)

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the objects. See `Method.keep`."""
        self._memory = self._known.select(torch.tensor(places, dtype=torch.long, device=self._sam.device))

    def state(self) -> dict[str, Tensor]:
        """What is known of the objects from where they were given. See `Method.state`."""
        return self._known.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Begin with what is known from elsewhere, all of it absent. See `Method.restore`."""
        self._memory = Memory.of_state(state, self._settings)

    def find(self, frame: Frame, features: Features, cues: Cues | None = None) -> tuple[Tensor, Tensor]:
        """The objects' logits in the next frame, float, N×h×w of the low-res grid, and scores, float, N, 0 to 1.

        A score estimates the IoU with the true mask, as the product of what each may doubt: the IoU that SAM expects,
        how far the mask looks like the object, its overlap with what was carried from the frame before (if the object
        was there), and how certain the sum of all is. It is of the mask as it was before errors were corrected.

        Args:
            cues: the frame's, if they are at hand already.
        """
        cues = cues or Cues.of(small_grey(frame.image), self._grey)
        self._grey = cues.grey
        flow = cues.flow.to(self._sam.device, non_blocking=True)
        self._memory, logits, scores = self._step(self._known, features, flow)
        return logits, scores

    @property
    def _known(self) -> Memory:
        assert self._memory is not None, "no object was added"
        return self._memory

    def _learn(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> Memory:
        """What is known of the objects that are given in a frame."""
        device = features.tensor.device
        side = features.geometry.side
        coverage = to_grid(masks, FEATURE_SIZE, side).to(device)
        counts = (to_grid(ignored[None], FEATURE_SIZE, side)[0].to(device) < 0.5) | (coverage.amax(dim=0) > 0)
        (colours,) = Colours.on_grids(features.pixels, features.geometry, [FEATURE_SIZE])
        cells = describe_cells(features, colours)
        classifier = KernelRidge.fit(*cells, coverage.flatten(1).T, counts.flatten(), self._settings)
        levels, presence, residuals = self._mirrored(frame, classifier, masks, ignored)
        found = _probabilities(masks, features)
        areas = found.sum(dim=(1, 2))
        absent = torch.zeros_like(areas, dtype=torch.bool)
        found = found.clamp(PROB_EPS, 1 - PROB_EPS)
        return Memory((classifier,), levels, levels, presence, areas, residuals, areas, absent, found)

    def _mirrored(
        self, frame: Frame, classifier: KernelRidge, masks: Tensor, ignored: Tensor
    ) -> tuple[Levels, Presence, Residuals]:
        """What the classifier and SAM say of the objects in the same frame mirrored, which they have not seen."""
        image = np.ascontiguousarray(frame.image[:, ::-1])
        masks, ignored = masks.flip(-1), ignored.flip(-1)
        features = self._sam.encode(image)
        device = features.tensor.device
        side = features.geometry.side
        coverage = to_grid(masks, FEATURE_SIZE, side).to(device)
        known = 1 - to_grid(ignored[None], FEATURE_SIZE, side).to(device)
        colours, finer = Colours.on_grids(features.pixels, features.geometry, (FEATURE_SIZE, LOW_RES_SIZE))
        scores = classifier.scores(classifier.lift(*describe_cells(features, colours))).T.view_as(coverage)
        levels = Levels.measure(scores, coverage, (known - coverage).clamp(min=0))
        truth = _probabilities(masks, features)
        distinct = levels.at_least(levels)
        alike, areas = distinct.alike(scores), truth.sum(dim=(1, 2))
        presence = Presence.measure(distinct, scores, alike, truth > 0.5, areas, self._settings)
        evidence = distinct.log_odds(to_places(scores, features))
        errors = self._errors(features, finer, evidence, truth, ignored)
        return levels, presence, Residuals.fit(errors, self._settings)

    def _errors(
        self, features: Features, colours: Colours, evidence: Tensor, truth: Tensor, ignored: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """The samples for `Residuals.fit`: as if the truth was carried from the frame before, and then what was found
        from that."""
        known = to_grid(ignored[None], LOW_RES_SIZE, features.geometry.side).to(truth.device) < 0.5
        areas = truth.sum(dim=(1, 2))
        absent = torch.zeros_like(areas, dtype=torch.bool)
        carried = truth.clamp(PROB_EPS, 1 - PROB_EPS)
        both = []
        for _ in range(2):
            whereabouts = Whereabouts.of(carried, areas, absent, self._settings)
            together = consult(self._sam.decode, features, colours, evidence, whereabouts, self._settings)
            errors = (truth - together.logits.sigmoid()).flatten(1)
            regions = (together.regions & known).flatten(1)
            both.append([(together.places.inputs_at(i, region), errors[i][region]) for i, region in enumerate(regions)])
            carried = softmax_with_background(together.logits)
        return [(torch.cat((a, c)), torch.cat((b, d))) for (a, b), (c, d) in zip(*both, strict=True)]


def _probabilities(masks: Tensor, features: Features) -> Tensor:
    """How surely each place is an object's whose mask, bool, N×H×W, is given: float, N×h×w of the low-res grid."""
    coverage = to_grid(masks, LOW_RES_SIZE, features.geometry.side).to(features.tensor.device)
    return torch.where(most_covered(coverage), coverage.clamp(min=0.75), coverage)  # also what is smaller than a cell

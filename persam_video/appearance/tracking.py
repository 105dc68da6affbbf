"""The default method: an appearance classifier for every object, optical flow, and SAM, each of which is doubted.

SAM knows where things end but not which thing is meant; the classifier knows which but only coarsely where; the flow
carries what was found before, with its mistakes. All three give log-odds for every place, which are added, each within
a limit, so that none decides alone against a clear word of another. SAM is prompted with what the other two say. What
the sum got wrong where the object was given is corrected; a part of that is in what the next frame starts from.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.appearance.cells import Colours, describe_cells
from persam_video.appearance.evidence import Levels, Resemblance
from persam_video.appearance.kernel_ridge import Given, KernelRidge
from persam_video.appearance.motion import Motion, carry
from persam_video.appearance.residuals import Places, Residuals
from persam_video.appearance.settings import Settings
from persam_video.appearance.windows import densest_cells, near
from persam_video.composition import NEVER, exclusive, owned
from persam_video.frame import Frame
from persam_video.persam.prompts import boxes_of, centres_of_cells, grow_boxes
from persam_video.persam.target import most_covered
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.preprocess import FEATURE_SIZE, LOW_RES_SIZE, to_grid
from persam_video.sam.prompt_encoder import POSITIVE, Prompts

_NOWHERE = -10.0
"""The log-odds of an absent object, everywhere."""
_GRIDS = (FEATURE_SIZE, LOW_RES_SIZE)
_POSSIBLE = -2.0
"""Log-odds of places that may well be the object's."""


@dataclass(frozen=True, eq=False, slots=True)
class _Group:
    """Objects that were given in one frame, and their classifier."""

    objects: slice
    classifier: KernelRidge


@dataclass(frozen=True, eq=False, slots=True)
class _Together:
    """What all say of N objects in a frame: log-odds, float, N×h×w, the IoU that SAM expects, float, N, and what the
    errors of their sum depend on and where they may be corrected, bool, N×h×w."""

    logits: Tensor
    expected: Tensor
    places: Places
    regions: Tensor


class AppearanceTracking:
    """Finds objects by their learned appearance, their motion and SAM.

    Args:
        sam: from `load_sam`.
        settings: the constants.
    """

    def __init__(self, sam: Sam, settings: Settings | None = None) -> None:
        self._sam = sam
        self._settings = settings or Settings()
        device = sam.device
        self._groups: list[_Group] = []
        self._motion: Motion | None = None
        self._found = torch.empty(0, device=device)  # probabilities in the frame before, [N, h, w], low-res grid
        self._areas = torch.empty(0, device=device)  # when last seen, low-res cells, [N]
        self._absent = torch.empty(0, dtype=torch.bool, device=device)
        self._levels = self._first_levels = Levels.of_none(device)
        self._resemblance = Resemblance.of_none(device)
        self._residuals = Residuals.of_none(device, self._settings)

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Learn from a frame in which objects are given.

        Args:
            masks: bool, N×H×W, on the CPU; none is empty.
            ignored: bool, H×W: what is neither object nor background.
        """
        device = features.tensor.device
        side = features.geometry.side
        coverage = to_grid(masks, FEATURE_SIZE, side).to(device)
        counts = (to_grid(ignored[None], FEATURE_SIZE, side)[0].to(device) < 0.5) | (coverage.amax(dim=0) > 0)
        (colours,) = Colours.on_grids(frame.image, features.geometry, [FEATURE_SIZE], device)
        cells = describe_cells(features, colours)
        classifier = KernelRidge.fit(*cells, coverage.flatten(1).T, counts.flatten(), self._settings)
        objects = slice(len(self._areas), len(self._areas) + len(masks))
        self._groups.append(_Group(objects, classifier))
        levels, resemblance, residuals = self._mirrored(frame, classifier, masks, ignored)
        self._levels = self._levels.join(levels)
        self._first_levels = self._first_levels.join(levels)
        self._resemblance = self._resemblance.join(resemblance)
        self._residuals = self._residuals.join(residuals)
        found = _probabilities(masks, features)
        self._areas = torch.cat((self._areas, found.sum(dim=(1, 2))))
        self._absent = torch.cat((self._absent, torch.zeros(len(masks), dtype=torch.bool, device=device)))
        if self._motion is None:
            self._motion = Motion(frame.image)
            self._found = found.clamp(NEVER, 1 - NEVER)
        else:
            others = self._found * (1 - found.sum(dim=0)).clamp(min=0)  # they are not where these are
            self._found = torch.cat((others, found)).clamp(NEVER, 1 - NEVER)

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the objects. See `Method.keep`."""
        kept = torch.tensor(places, dtype=torch.long, device=self._areas.device)
        groups, start = [], 0
        for group in self._groups:
            mine = kept[(kept >= group.objects.start) & (kept < group.objects.stop)]
            if len(mine):
                group.classifier.select(mine - group.objects.start)
                groups.append(_Group(slice(start, start + len(mine)), group.classifier))
                start += len(mine)
        self._groups = groups
        self._levels, self._first_levels = self._levels.select(kept), self._first_levels.select(kept)
        self._resemblance, self._residuals = self._resemblance.select(kept), self._residuals.select(kept)
        self._found, self._areas, self._absent = self._found[kept], self._areas[kept], self._absent[kept]

    def state(self) -> dict[str, Tensor]:
        """What is known of the objects from where they were given. See `Method.state`."""
        state = {
            "areas": self._areas,
            "excess": self._resemblance.excess,
            "error landmarks": self._residuals.landmarks,
            "error weights": self._residuals.weights,
            **{f"level {each.name}": getattr(self._first_levels, each.name) for each in fields(Levels)},
        }
        for number, group in enumerate(self._groups):
            given = group.classifier.given
            state |= {f"group {number} {each.name}": getattr(given, each.name) for each in fields(Given)}
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Begin with what is known from elsewhere, all of it absent. See `Method.restore`."""
        start = 0
        for number in itertools.count():
            prefix = f"group {number} "
            if f"{prefix}mean" not in state:
                break
            given = Given(**{field.name: state[prefix + field.name] for field in fields(Given)})
            stop = start + len(given.mean)
            self._groups.append(_Group(slice(start, stop), KernelRidge(given, self._settings)))
            start = stop
        self._areas = state["areas"]
        self._resemblance = Resemblance(state["excess"])
        self._residuals = Residuals(state["error landmarks"], state["error weights"])
        self._levels = self._first_levels = Levels(
            **{each.name: state[f"level {each.name}"] for each in fields(Levels)}
        )
        self._absent = torch.ones_like(self._areas, dtype=torch.bool)
        self._found = torch.full((start, 1, 1), NEVER, device=self._areas.device)

    def _mirrored(
        self, frame: Frame, classifier: KernelRidge, masks: Tensor, ignored: Tensor
    ) -> tuple[Levels, Resemblance, Residuals]:
        """What the classifier and SAM say of the objects in the same frame mirrored, which they have not seen."""
        image = np.ascontiguousarray(frame.image[:, ::-1])
        masks, ignored = masks.flip(-1), ignored.flip(-1)
        features = self._sam.encode(image)
        device = features.tensor.device
        side = features.geometry.side
        coverage = to_grid(masks, FEATURE_SIZE, side).to(device)
        known = 1 - to_grid(ignored[None], FEATURE_SIZE, side).to(device)
        colours, finer = Colours.on_grids(image, features.geometry, _GRIDS, device)
        scores = classifier.scores(classifier.lift(*describe_cells(features, colours))).T.view_as(coverage)
        levels = Levels.measure(scores, coverage, (known - coverage).clamp(min=0))
        background = (known[0] > 0.5) & (coverage.amax(dim=0) == 0)
        resemblance = Resemblance.measure(scores, levels, coverage, background)
        evidence = levels.at_least(levels).log_odds(_to_places(scores, features))
        errors = self._errors(features, finer, evidence, masks, ignored)
        return levels, resemblance, Residuals.fit(errors, self._settings)

    def _errors(
        self, features: Features, colours: Colours, evidence: Tensor, masks: Tensor, ignored: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """The samples for `Residuals.fit`: as if the truth was carried from the frame before, and then what was found
        from that."""
        truth = _probabilities(masks, features)
        known = to_grid(ignored[None], LOW_RES_SIZE, features.geometry.side).to(truth.device) < 0.5
        areas = truth.sum(dim=(1, 2))
        absent = torch.zeros_like(areas, dtype=torch.bool)
        carried = truth.clamp(NEVER, 1 - NEVER)
        both = []
        for _ in range(2):
            together = self._ask_all(features, colours, evidence, carried, areas, absent)
            errors = (truth - together.logits.sigmoid()).flatten(1)
            regions = (together.regions & known).flatten(1)
            both.append([(together.places.inputs(i, region), errors[i][region]) for i, region in enumerate(regions)])
            carried = exclusive(together.logits)
        return [(torch.cat((a, c)), torch.cat((b, d))) for (a, b), (c, d) in zip(*both, strict=True)]

    def find(self, frame: Frame, features: Features) -> tuple[Tensor, Tensor]:
        """The objects' logits in the next frame, float, N×h×w of the low-res grid, and scores, float, N, 0 to 1.

        A score estimates the IoU with the true mask, as the product of what each may doubt: the IoU that SAM expects,
        how far the mask looks like the object, its overlap with what was carried from the frame before (if the object
        was there), and how certain the sum of all is.
        """
        colours, finer = Colours.on_grids(frame.image, features.geometry, _GRIDS, features.tensor.device)
        cells = describe_cells(features, colours)
        lifted = [group.classifier.lift(*cells) for group in self._groups]
        rows, columns = features.tensor.shape[2:]
        scores = torch.cat(
            [group.classifier.scores(each).T for group, each in zip(self._groups, lifted, strict=True)]
        ).view(-1, rows, columns)
        carried = self._carried(frame, features)
        around = near(carried > 0.5, 2 * self._reach(self._areas)) * (1 - carried)
        levels = self._present_levels(scores, carried, around)

        evidence = levels.log_odds(_to_places(scores, features))
        together = self._ask_all(features, finer, evidence, carried, self._areas, self._absent)
        corrected = self._residuals.correct(together.logits, together.places, together.regions)
        logits = torch.lerp(together.logits, corrected, self._settings.remembered)

        found, masks = exclusive(logits), owned(logits)
        stable = _overlap(masks, carried > 0.5)
        certain = _overlap(masks.float(), found)
        alike = (evidence.sigmoid() * masks).sum(dim=(1, 2)) / masks.sum(dim=(1, 2)).clamp(min=1)
        doubts = together.expected * certain * alike * torch.where(self._absent, 1, stable)

        self._remember(scores, lifted, around, found, masks, stable * together.expected)
        corrected = torch.where(self._absent[:, None, None], _NOWHERE, corrected)
        return corrected, torch.where(self._absent, 0, doubts)

    def _carried(self, frame: Frame, features: Features) -> Tensor:
        """The probabilities of the frame before, moved as the picture has moved."""
        size = features.geometry.grid(LOW_RES_SIZE)
        found = self._found
        if self._motion is None:  # the first frame, of objects that are known from elsewhere
            self._motion = Motion(frame.image)
            return found.expand(-1, *size)
        flow = self._motion.advance(frame.image)
        if found.shape[1:] != size:  # frames of another shape
            found = F.interpolate(found[:, None], size=size, mode="bilinear")[:, 0]
        return carry(found, flow).clamp(NEVER, 1 - NEVER)

    def _present_levels(self, scores: Tensor, carried: Tensor, around: Tensor) -> Levels:
        """The levels as they are in this frame, by what is carried; those that were learned for what is absent."""
        size = scores.shape[1:]
        now = Levels.measure(scores, pool(carried, size), pool(around, size))
        seen = ~self._absent & (carried > 0.5).any(dim=2).any(dim=1)
        return self._levels.blend(now, seen.float() * self._settings.now_share).at_least(self._first_levels)

    def _reach(self, areas: Tensor) -> Tensor:
        """How far an object can get in a frame beyond its flow, in low-res cells, int, N."""
        return (self._settings.reach_cells + self._settings.reach_share * areas.sqrt()).long()

    def _ask_all(
        self, features: Features, colours: Colours, evidence: Tensor, carried: Tensor, areas: Tensor, absent: Tensor
    ) -> _Together:
        """What the classifier, the flow and SAM say together; colours are of the low-res grid."""
        settings = self._settings
        absent = absent[:, None, None]
        near_by = near(carried > 0.5, self._reach(areas))
        appearance = evidence.clamp(-settings.least_appearance, settings.most_appearance)
        appearance = torch.where(near_by | absent, appearance, appearance.clamp(max=settings.out_of_reach))
        motion = settings.motion_weight * carried.logit().clamp(-settings.most_motion, settings.most_motion)
        prior = appearance + torch.where(absent, 0, motion)
        said, expected = self._segment(features, prior, areas)
        logits = said + prior
        places = Places.of(colours, said, prior, settings)
        return _Together(logits, expected, places, near_by | (logits > _POSSIBLE))

    def _segment(self, features: Features, prior: Tensor, areas: Tensor) -> tuple[Tensor, Tensor]:
        """What SAM says, asked with what the others say: log-odds, float, N×h×w, and the IoU that it expects, N."""
        said = torch.zeros_like(prior)
        expected = prior.new_zeros(len(prior))
        for _ in range(self._settings.decodes):
            answer = self._sam.decode(features, self._prompts(features, said + prior, areas))
            # SAM's three masks are of the whole, the part and the subpart: their mean is none of them, but steady.
            said = answer.logits.mean(dim=1).clamp(-self._settings.most_sam, self._settings.most_sam)
            expected = answer.scores.amax(dim=1).clamp(0, 1)
        return said, expected

    def _prompts(self, features: Features, logits: Tensor, areas: Tensor) -> Prompts:
        found = exclusive(logits)
        boxes, has_box = boxes_of(owned(logits))
        points = densest_cells(found, (areas.sqrt() / 4).long())
        return Prompts(
            points=centres_of_cells(points)[:, None],
            labels=torch.full((len(found), 1), POSITIVE, device=found.device),
            boxes=grow_boxes(boxes, self._settings.box_margin, features.geometry),
            has_box=has_box,
            masks=found.logit(),
        )

    def _remember(
        self,
        scores: Tensor,
        lifted: Sequence[Tensor],
        around: Tensor,
        found: Tensor,
        masks: Tensor,
        trust: Tensor,
    ) -> None:
        """Decide what is absent, and learn from what is not, as far as it is to be trusted, float, N, 0 to 1."""
        settings = self._settings
        size = scores.shape[1:]
        areas = masks.sum(dim=(1, 2)).float()
        inside = pool(masks.float(), size)
        mean = (scores * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)).clamp(min=1e-3)
        position = torch.where(areas > 0, self._levels.at_least(self._first_levels).position(mean), -1)
        chance = self._resemblance.of_size(inside.sum(dim=(1, 2)))
        share = torch.where(self._absent, settings.found, settings.lost)
        self._absent = position < torch.lerp(chance, torch.ones_like(chance), share)
        present = ~self._absent
        trust = torch.where(present, trust, 0)
        shares = pool(found, size)
        coverage = shares * present[:, None, None]  # what is thought absent is neither learned nor background
        for group, each in zip(self._groups, lifted, strict=True):
            mine, own = coverage[group.objects].flatten(1).T, trust[group.objects]
            background = (1 - shares[group.objects].sum(dim=0).flatten()).clamp(min=0)
            group.classifier.learn(each, mine, mine @ own + background * own.mean(), settings.rate * own.amax())
        now = Levels.measure(scores, coverage, pool(around * (1 - found), size))
        self._levels = self._levels.blend(now, settings.rate * trust)
        self._found = torch.where(present[:, None, None], found, NEVER)
        self._areas = torch.where(present & (areas > 0), areas, self._areas)


def _probabilities(masks: Tensor, features: Features) -> Tensor:
    """How surely each place is an object's whose mask, bool, N×H×W, is given: float, N×h×w of the low-res grid."""
    coverage = to_grid(masks, LOW_RES_SIZE, features.geometry.side).to(features.tensor.device)
    return torch.where(most_covered(coverage), coverage.clamp(min=0.75), coverage)  # also what is smaller than a cell


def _to_places(scores: Tensor, features: Features) -> Tensor:
    """Maps of the features' grid on the low-res grid, float, N×h×w."""
    return F.interpolate(scores[:, None], size=features.geometry.grid(LOW_RES_SIZE), mode="bilinear")[:, 0]


def _overlap(masks: Tensor, others: Tensor) -> Tensor:
    """The intersection over the union of maps, float, 0 to 1, or bool, N×h×w: float, N; 0 of two that are empty."""
    together = torch.minimum(masks, others).sum(dim=(1, 2))
    return together / torch.maximum(masks, others).sum(dim=(1, 2)).clamp(min=1e-3)


def pool(maps: Tensor, size: torch.Size) -> Tensor:
    """The mean of each map over the cells of a coarser grid, float, N×rows×columns."""
    factor = maps.shape[1] // size[0]
    return F.avg_pool2d(maps[:, None], factor)[:, 0]

"""What the default method remembers: tensors alone, which a frame does not change but replaces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from persam_video.methods.appearance.kernel_ridge import Given, KernelRidge
from persam_video.methods.appearance.presence import Presence
from persam_video.methods.appearance.residuals import Residuals
from persam_video.methods.appearance.score_statistics import Levels
from persam_video.methods.appearance.settings import Settings
from persam_video.sam.object_masks import PROB_EPS


@dataclass(frozen=True, eq=False, slots=True)
class Memory:
    """What is known of N objects from where they were given, and from the frames since.

    Args:
        classifiers: one for all objects that were given in one frame, in their order.
        first_levels: of the frame in which each was given.
        levels: of the frames since.
        first_presence: in the frame in which each was given.
        first_areas: float, N, in low-res cells, there.
        residuals: of the same frame.
        areas: float, N, when last seen, in low-res cells.
        absent: bool, N.
        found: float, N×h×w of the low-res grid: how surely each place was the object's in the frame before.
    """

    classifiers: tuple[KernelRidge, ...]
    first_levels: Levels
    levels: Levels
    first_presence: Presence
    first_areas: Tensor
    residuals: Residuals
    areas: Tensor
    absent: Tensor
    found: Tensor

    def groups(self) -> Iterator[tuple[KernelRidge, slice]]:
        """Each classifier, and the places of its objects among all."""
        start = 0
        for classifier in self.classifiers:
            stop = start + len(classifier.given.mean)
            yield classifier, slice(start, stop)
            start = stop

    def join(self, other: Memory) -> Memory:
        """These objects, then others, which are now given: where they are, these are not."""
        mine = resized(self.found, other.found.shape[1:]) * (1 - other.found.sum(dim=0)).clamp(min=0)
        return Memory(
            self.classifiers + other.classifiers,
            self.first_levels.join(other.first_levels),
            self.levels.join(other.levels),
            self.first_presence.join(other.first_presence),
            torch.cat((self.first_areas, other.first_areas)),
            self.residuals.join(other.residuals),
            torch.cat((self.areas, other.areas)),
            torch.cat((self.absent, other.absent)),
            torch.cat((mine, other.found)).clamp(PROB_EPS, 1 - PROB_EPS),
        )

    def select(self, kept: Tensor) -> Memory:
        """Some of the objects, int, in ascending order."""
        parts = ((each, kept[(kept >= part.start) & (kept < part.stop)] - part.start) for each, part in self.groups())
        return Memory(
            tuple(classifier.select(mine) for classifier, mine in parts if len(mine)),
            self.first_levels.select(kept),
            self.levels.select(kept),
            self.first_presence.select(kept),
            self.first_areas[kept],
            self.residuals.select(kept),
            self.areas[kept],
            self.absent[kept],
            self.found[kept],
        )

    def state(self) -> dict[str, Tensor]:
        """What is known of the objects from where they were given. See `Method.state`."""
        state = {
            "areas": self.first_areas,
            "error landmarks": self.residuals.landmarks,
            "error weights": self.residuals.weights,
            **{f"level {each.name}": getattr(self.first_levels, each.name) for each in fields(Levels)},
            **{f"presence {each.name}": getattr(self.first_presence, each.name) for each in fields(Presence)},
        }
        for number, classifier in enumerate(self.classifiers):
            for each in fields(Given):
                state[f"group {number} {each.name}"] = getattr(classifier.given, each.name)
        return state

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], settings: Settings) -> Memory:
        """Objects of a `state`, all of them absent. Raises `KeyError` where it is none."""
        levels = Levels(**{each.name: state[f"level {each.name}"] for each in fields(Levels)})
        areas = state["areas"]
        return cls(
            tuple(_classifiers(state, settings)),
            levels,
            levels,
            Presence(**{each.name: state[f"presence {each.name}"] for each in fields(Presence)}),
            areas,
            Residuals(state["error landmarks"], state["error weights"]),
            areas,
            torch.ones_like(areas, dtype=torch.bool),
            torch.full((len(areas), 1, 1), PROB_EPS, device=areas.device),
        )


def _classifiers(state: Mapping[str, Tensor], settings: Settings) -> Iterator[KernelRidge]:
    for number in itertools.count():
        if f"group {number} mean" not in state:
            return
        given = Given(**{each.name: state[f"group {number} {each.name}"] for each in fields(Given)})
        yield KernelRidge.of(given, settings)


def resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps, float, N×h×w, on another grid, where the frames' shape has changed."""
    return maps if maps.shape[1:] == size else F.interpolate(maps[:, None], size=size, mode="bilinear")[:, 0]

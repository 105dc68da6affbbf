"""State of the appearance method between frames: tensors alone, which a frame replaces but does not change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from persam_video.methods.appearance.kernel_ridge import FirstFrameFit, KernelRidge
from persam_video.methods.appearance.presence import Presence
from persam_video.methods.appearance.residuals import ResidualModel
from persam_video.methods.appearance.scenes import Scene
from persam_video.methods.appearance.score_statistics import ScoreStatistics
from persam_video.methods.appearance.settings import Settings
from persam_video.sam.object_masks import PROB_EPS
from persam_video.sam.window import Window, area_ratio, resample


@dataclass(frozen=True, eq=False, slots=True)
class Memory:
    """State of N objects in a window of the previous frame. The first frame of an object is the one from which it was
    personalised.

    Args:
        classifiers: one per group of objects that share a first frame, in the objects' order.
        first_statistics: score statistics in the first frames.
        statistics: moving average of the score statistics in the frames since.
        first_presence: in the first frames.
        first_areas: float, N, in low-res cells of the window, in the first frames.
        residuals: fitted to the first frames.
        scenes: one per classifier.
        areas: float, N, in low-res cells of the window, when last visible.
        absent: bool, N: in the previous frame.
        probabilities: float, N×h×w of the window's low-res grid: in the previous frame.
    """

    classifiers: tuple[KernelRidge, ...]
    first_statistics: ScoreStatistics
    statistics: ScoreStatistics
    first_presence: Presence
    first_areas: Tensor
    residuals: ResidualModel
    scenes: tuple[Scene, ...]
    areas: Tensor
    absent: Tensor
    probabilities: Tensor

    def groups(self) -> Iterator[tuple[KernelRidge, slice]]:
        """Each classifier with the rows of its objects."""
        start = 0
        for classifier in self.classifiers:
            stop = start + len(classifier.first.mean_coverage)
            yield classifier, slice(start, stop)
            start = stop

    def at_cut(self, cut: Tensor) -> Memory:
        """These objects, all of them absent if there is a cut to another scene.

        Args:
            cut: bool, scalar: whether there is one.
        """
        return replace(
            self,
            scenes=tuple(each.at_cut(cut) for each in self.scenes),
            absent=self.absent | cut,
            probabilities=torch.where(cut, PROB_EPS, self.probabilities),
        )

    def moved(self, old: Window, new: Window) -> Memory:
        """These objects in another window. What is known of areas follows its scale."""
        if old == new:
            return self
        ratio = area_ratio(old, new)
        return replace(
            self,
            first_presence=self.first_presence.scaled(ratio),
            first_areas=self.first_areas * ratio,
            areas=self.areas * ratio,
            probabilities=resample(self.probabilities, old, new).clamp(PROB_EPS, 1 - PROB_EPS),
        )

    def concat(self, other: Memory) -> Memory:
        """These objects, then others, in the same window, whose masks are newer: they take the cells where both are
        probable."""
        free = (1 - other.probabilities.sum(dim=0)).clamp(min=0)
        mine = self.probabilities * free
        return Memory(
            self.classifiers + other.classifiers,
            self.first_statistics.concat(other.first_statistics),
            self.statistics.concat(other.statistics),
            self.first_presence.concat(other.first_presence),
            torch.cat((self.first_areas, other.first_areas)),
            self.residuals.concat(other.residuals),
            self.scenes + other.scenes,
            torch.cat((self.areas, other.areas)),
            torch.cat((self.absent, other.absent)),
            torch.cat((mine, other.probabilities)).clamp(PROB_EPS, 1 - PROB_EPS),
        )

    def select(self, rows: Tensor) -> Memory:
        """Some of the objects, int, in ascending order."""
        parts = [rows[(rows >= part.start) & (rows < part.stop)] - part.start for _, part in self.groups()]
        return Memory(
            tuple(each.select(part) for each, part in zip(self.classifiers, parts, strict=True) if len(part)),
            self.first_statistics.select(rows),
            self.statistics.select(rows),
            self.first_presence.select(rows),
            self.first_areas[rows],
            self.residuals.select(rows),
            tuple(each.select(part) for each, part in zip(self.scenes, parts, strict=True) if len(part)),
            self.areas[rows],
            self.absent[rows],
            self.probabilities[rows],
        )

    def state(self) -> dict[str, Tensor]:
        """Personalised state, from the first frames alone (`Method.state`). The keys are those of saved targets."""
        state = {
            "areas": self.first_areas,
            "foreground_score_mean": self.first_statistics.foreground_mean,
            "background_score_mean": self.first_statistics.background_mean,
            "foreground_score_std": self.first_statistics.foreground_std,
            "background_score_std": self.first_statistics.background_std,
            "contrast": self.first_presence.contrast,
            "likeness_inside": self.first_presence.likeness_inside,
            "likeness_elsewhere": self.first_presence.likeness_elsewhere,
            "residual_landmarks": self.residuals.landmarks,
            "residual_weights": self.residuals.weights,
        }
        for group, classifier in enumerate(self.classifiers):
            first = classifier.first
            state |= {
                f"classifier_{group}_centre": first.centre,
                f"classifier_{group}_landmarks": first.landmarks,
                f"classifier_{group}_whitening": first.whitening,
                f"classifier_{group}_mean_coverage": first.mean_coverage,
                f"classifier_{group}_gram": first.gram,
                f"classifier_{group}_targets": first.targets,
            }
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], settings: Settings) -> Memory:
        """Objects of a `state`, all of them absent.

        Raises:
            KeyError: the state is of another method.
        """
        statistics = ScoreStatistics(
            foreground_mean=state["foreground_score_mean"],
            background_mean=state["background_score_mean"],
            foreground_std=state["foreground_score_std"],
            background_std=state["background_score_std"],
        )
        presence = Presence(
            contrast=state["contrast"],
            likeness_inside=state["likeness_inside"],
            likeness_elsewhere=state["likeness_elsewhere"],
        )
        areas = state["areas"]
        classifiers = tuple(_classifiers(state, settings))
        return cls(
            classifiers=classifiers,
            first_statistics=statistics,
            statistics=statistics,
            first_presence=presence,
            first_areas=areas,
            residuals=ResidualModel(landmarks=state["residual_landmarks"], weights=state["residual_weights"]),
            scenes=tuple(map(Scene.unknown, classifiers)),
            areas=areas,
            absent=torch.ones_like(areas, dtype=torch.bool),
            probabilities=torch.full((len(areas), 1, 1), PROB_EPS, dtype=areas.dtype, device=areas.device),
        )


def _classifiers(state: Mapping[str, Tensor], settings: Settings) -> Iterator[KernelRidge]:
    for group in itertools.count():
        if f"classifier_{group}_centre" not in state:
            return
        first = FirstFrameFit(
            centre=state[f"classifier_{group}_centre"],
            landmarks=state[f"classifier_{group}_landmarks"],
            whitening=state[f"classifier_{group}_whitening"],
            mean_coverage=state[f"classifier_{group}_mean_coverage"],
            gram=state[f"classifier_{group}_gram"],
            targets=state[f"classifier_{group}_targets"],
        )
        yield KernelRidge.of(first, settings)

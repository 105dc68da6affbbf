"""Cuts to another scene: told from two images, and survived by all methods."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from demo_scene import DemoScene

from persam_video import Sam, Tracker
from persam_video.evaluation.davis.metrics import region_similarity
from persam_video.methods.appearance.memory import Memory
from persam_video.methods.appearance.method import AppearanceMethod
from persam_video.methods.appearance.scenes import POOLED_CELLS, Scene
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.cuts import (
    MIN_EXPLAINED,
    colour_histogram,
    common_colours,
    explained_contrast,
    is_cut,
)
from persam_video.methods.flow import FlowInputs, backward_flow, reduced_image
from persam_video.methods.persam import method as persam_method

HEIGHT, WIDTH = 288, 512


def texture(seed: int) -> np.ndarray:
    """Image of random blobs of many sizes, as photographs have them, around a colour of its own."""
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), rng.uniform(60, 190, 3))
    for cells in (8, 16, 32, 64, 128, 256):
        blobs = rng.normal(0, 22, (max(1, cells * HEIGHT // WIDTH), cells, 3))
        image += cv2.resize(blobs, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return as_uint8(image)


def zoomed(image: np.ndarray, factor: float, degrees: float = 0) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, factor)
    return cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def occluded(image: np.ndarray, share: float) -> np.ndarray:
    image = image.copy()
    image[:, : int(share * WIDTH)] = texture(9)[:, : int(share * WIDTH)]
    return image


def noisy(image: np.ndarray) -> np.ndarray:
    return as_uint8(image + np.random.default_rng(0).normal(0, 20, image.shape))


def as_uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def inputs(previous: np.ndarray | None, current: np.ndarray) -> FlowInputs:
    return FlowInputs.of(None if previous is None else reduced_image(previous), reduced_image(current), pinned=False)


def explained(previous: np.ndarray, current: np.ndarray) -> float:
    one, other = reduced_image(previous).grey, reduced_image(current).grey
    return explained_contrast(one, other, backward_flow(one, other).permute(1, 2, 0).numpy())


SAME_SCENE = {
    "the same": lambda image: image,
    "pan": lambda image: np.roll(image, 20, axis=1),
    "zoom": lambda image: zoomed(image, 1.1),
    "rotation": lambda image: zoomed(image, 1.05, 4),
    "noise": noisy,
    "flash": lambda image: as_uint8(image * 0.6 + 100),
    "darker": lambda image: as_uint8(image * 0.5),
    "gamma": lambda image: as_uint8(255 * (image / 255.0) ** 2),
    "motion blur": lambda image: cv2.blur(image, (15, 1)),
    "out of focus": lambda image: cv2.GaussianBlur(image, (0, 0), 3),
    "half occluded": lambda image: occluded(image, 0.5),
}


class TestIsCut:
    @pytest.mark.parametrize("change", SAME_SCENE)
    @pytest.mark.parametrize("seed", [0, 1])
    def test_changes_within_a_scene(self, seed: int, change: str) -> None:
        image = texture(seed)
        assert explained(image, SAME_SCENE[change](image)) > MIN_EXPLAINED
        assert not inputs(image, SAME_SCENE[change](image)).cut

    @pytest.mark.parametrize("seed", range(6))
    def test_unrelated_images(self, seed: int) -> None:
        assert explained(texture(seed), texture(seed + 10)) < MIN_EXPLAINED
        assert inputs(texture(seed), texture(seed + 10)).cut

    def test_less_must_be_explained_where_the_colours_stay(self) -> None:
        """Here the flow explains a part of the image."""
        image, other = texture(0), texture(5)
        one, mixed = reduced_image(image), reduced_image(as_uint8(0.2 * image + 0.8 * other))
        still = np.zeros((*one.grey.shape, 2), np.float32)
        assert 0.15 < explained_contrast(one.grey, mixed.grey, still) < MIN_EXPLAINED
        assert not is_cut(one, replace(mixed, colours=one.colours), still)
        assert is_cut(one, replace(mixed, colours=reduced_image(other).colours), still)
        assert is_cut(one, replace(reduced_image(255 - image), colours=one.colours), still)

    def test_a_black_frame_is_another_scene_and_two_are_one(self) -> None:
        black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        assert inputs(texture(0), black).cut
        assert inputs(black, texture(0)).cut
        assert not inputs(black, black).cut

    def test_the_first_frame_is_no_cut(self) -> None:
        prepared = inputs(None, texture(0))
        assert (prepared.cut.dtype, prepared.cut.shape, prepared.cut.item()) == (torch.bool, (), False)

    def test_frames_of_another_size(self) -> None:
        image = texture(0)
        assert not inputs(image, cv2.resize(image, (400, 300))).cut
        assert inputs(image, cv2.resize(texture(1), (300, 400))).cut
        tiny = np.zeros((1, 2000, 3), np.uint8)
        assert not inputs(tiny, tiny).cut

    def test_demo_scenes(self) -> None:
        one, other = DemoScene(seed=0), DemoScene(seed=3)
        images = [one.render(index)[0] for index in (0, 1, 2)] + [other.render(index)[0] for index in (0, 1)]
        found = [bool(inputs(*pair).cut) for pair in pairwise(images)]
        assert found == [False, False, True, False]


def test_common_colours() -> None:
    image = np.zeros((40, 300, 3), np.uint8)
    image[:, :75] = (255, 0, 128)
    histogram = colour_histogram(image)
    assert histogram.sum() == pytest.approx(1)
    assert sorted(histogram)[-2:] == pytest.approx([0.25, 0.75], abs=0.01)
    reds, blacks = reduced_image(image), reduced_image(np.zeros((40, 300, 3), np.uint8))
    assert common_colours(reds, blacks) == pytest.approx(0.75, abs=0.01)


NONE, FIRST, BOTH = torch.tensor([[True, True], [False, True], [False, False]])
"""Objects that are absent where none, the first or both are found."""
ALIKE, UNLIKE = torch.tensor([0.9, 0.3])
"""Similarity of a frame to a scene."""


class TestScene:
    """Pooled cells of one scene are unit vectors in some directions, those of another one in others."""

    SETTINGS = Settings()

    def cells(self, first: int) -> torch.Tensor:
        return torch.eye(2 * POOLED_CELLS)[first : first + POOLED_CELLS]

    def test_only_a_scene_that_was_left_must_be_recognised(self) -> None:
        scene = Scene.of(self.cells(0), 2)
        assert scene.similarity(self.cells(0), 0.5).item() == pytest.approx(1)
        assert scene.similarity(self.cells(POOLED_CELLS), 0.5).item() < 0.2
        one, half, none = torch.tensor([1.0, 0.87 * 0.9**2 / 2, 0.1])
        assert scene.confidence(none, self.SETTINGS).tolist() == [1, 1]
        assert scene.at_cut(torch.tensor(False)).confidence(none, self.SETTINGS).tolist() == [1, 1]
        left = scene.at_cut(torch.tensor(True))
        assert left.confidence(one, self.SETTINGS).tolist() == [1, 1]
        assert left.confidence(half, self.SETTINGS).tolist() == pytest.approx([1 / 8] * 2)

    def test_less_similarity_is_asked_of_a_scene_that_changes_fast(self) -> None:
        wild = Scene.of(self.cells(0), 1)
        for similarity in (0.8, 0.7, 0.6):
            wild = wild.updated(self.cells(0), torch.tensor(similarity), torch.tensor([False]), self.SETTINGS)
        assert wild.frame_similarity.item() == pytest.approx(0.7)
        assert wild.at_cut(torch.tensor(True)).confidence(torch.tensor(0.6), self.SETTINGS).tolist() == [1]

    def test_it_is_kept_until_an_object_is_found(self) -> None:
        here, elsewhere = self.cells(0), self.cells(POOLED_CELLS)
        away = Scene.of(here, 2).at_cut(torch.tensor(True)).updated(elsewhere, UNLIKE, NONE, self.SETTINGS)
        assert torch.equal(away.cells, here)
        assert away.left.tolist() == [True, True]
        back = away.updated(self.cells(10), ALIKE, FIRST, self.SETTINGS)
        assert back.left.tolist() == [False, False]  # the other one may be in this frame of their scene, too
        assert torch.equal(back.cells, self.cells(10))
        assert back.comparisons == 0  # similarity over a cut is not the scene's
        assert back.updated(self.cells(12), ALIKE, BOTH, self.SETTINGS).comparisons == 1

    def test_an_object_that_is_found_elsewhere_leaves_the_others_in_their_scene(self) -> None:
        here, elsewhere = self.cells(0), self.cells(POOLED_CELLS)
        scene = Scene.of(here, 2).at_cut(torch.tensor(True)).updated(elsewhere, UNLIKE, FIRST, self.SETTINGS)
        for _ in range(3):
            similarity = scene.similarity(elsewhere, 0.5)
            assert scene.left.tolist() == [False, True]
            assert scene.confidence(similarity, self.SETTINGS)[1] < 0.1
            scene = scene.updated(elsewhere, similarity, FIRST, self.SETTINGS)
        assert scene.confidence(scene.similarity(here, 0.5), self.SETTINGS).tolist() == [1, 1]
        assert scene.updated(elsewhere, UNLIKE, BOTH, self.SETTINGS).left.tolist() == [False, False]

    def test_without_a_cut_it_goes_on_without_the_objects(self) -> None:
        hidden = Scene.of(self.cells(0), 1).updated(
            self.cells(5), torch.tensor(0.9), torch.tensor([True]), self.SETTINGS
        )
        assert torch.equal(hidden.cells, self.cells(5))

    def test_objects_that_were_never_seen_have_left_no_scene(self) -> None:
        scene = replace(Scene.of(self.cells(0), 2), seen=torch.tensor([False, True])).at_cut(torch.tensor(True))
        assert scene.left.tolist() == [False, True]
        assert scene.select(torch.tensor([0])).left.tolist() == [False]


def cut_clip(given: DemoScene, foreign: np.ndarray, returns_at: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Frames 0 to 2 of a scene, four copies of a foreign image, and four frames of the scene; with truth."""
    frames: list[tuple[np.ndarray, np.ndarray | None]] = [given.render(index) for index in (0, 1, 2)]
    frames += [(foreign, None)] * 4
    return frames + [given.render(index) for index in range(returns_at, returns_at + 4)]


@pytest.mark.parametrize(("seeds", "returns_at"), [((0, 3), 3), ((3, 0), 12)])
def test_objects_are_absent_in_another_scene_and_found_again(sam: Sam, seeds: tuple[int, int], returns_at: int) -> None:
    """The toys of the other scene are of the same kinds, in other colours."""
    given, other = (DemoScene(objects=3, seed=seed) for seed in seeds)
    tracker = Tracker(sam)
    frames = cut_clip(given, np.ascontiguousarray(other.render(0)[0][..., ::-1]), returns_at)
    results = [tracker.step(frames[0][0], label_map=frames[0][1]), *(tracker.step(image) for image, _ in frames[1:])]
    foreign = [seen for result in results[3:7] for seen in result.visible.values()]
    assert sum(foreign) <= 0.1 * len(foreign)
    truth = frames[-1][1]
    found = [region_similarity(results[-1].label_map == i, truth == i) > 0.5 for i in (1, 2, 3)]
    assert all(found)


def memory_of(tracker: Tracker) -> Memory:
    memory = cast(AppearanceMethod, tracker.method)._memory
    assert memory is not None
    return memory


def test_nothing_is_learnt_from_the_foreign_scene(sam: Sam) -> None:
    given = DemoScene(objects=3, seed=0)
    frames = cut_clip(given, texture(3), 3)
    tracker = Tracker(sam)
    tracker.step(frames[0][0], label_map=frames[0][1])
    for image, _ in frames[1:3]:
        tracker.step(image)
    before = memory_of(tracker)
    for image, _ in frames[3:6]:
        assert not any(tracker.step(image).visible.values())
    after = memory_of(tracker)
    assert after.absent.all()
    assert after.scenes[0].left.all()
    assert torch.equal(after.scenes[0].cells, before.scenes[0].cells)
    torch.testing.assert_close(after.classifiers[0].weights, before.classifiers[0].weights)
    torch.testing.assert_close(after.statistics.foreground_mean, before.statistics.foreground_mean)
    torch.testing.assert_close(after.statistics.background_mean, before.statistics.background_mean)
    tracker.step(frames[7][0])
    assert not memory_of(tracker).scenes[0].left.any()


def test_targets_are_found_in_another_video_after_a_cut(sam: Sam) -> None:
    """They have no scene there until they are found; then they have that one."""
    given = DemoScene(objects=3, seed=0)
    first = Tracker(sam)
    first.step(given.render(0)[0], label_map=given.label_map(0))
    tracker = Tracker(sam, targets=first.targets)
    image, truth = (np.ascontiguousarray(each[:, ::-1]) for each in given.render(20))
    assert not memory_of(tracker).scenes[0].seen.any()
    for each in (image, image, texture(3), texture(3), image):
        result = tracker.step(each)
    seen = memory_of(tracker).scenes[0].seen
    assert seen.any()
    assert seen.tolist() == list(result.visible.values())
    assert all(
        region_similarity(result.label_map == i, truth == i) > 0.5 for i, found in result.visible.items() if found
    )


@pytest.mark.parametrize("method", ["persam-f", "persam"])
def test_the_previous_box_is_dropped(sam: Sam, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = DemoScene(objects=2, seed=0)
    used: list[list[bool]] = []
    tracker = Tracker(sam, method=method)
    tracker.step(scene.render(0)[0], label_map=scene.label_map(0))
    segment = persam_method.segment

    def recorded(*args: Any) -> Any:
        used.append(args[4][1].tolist())
        return segment(*args)

    monkeypatch.setattr(persam_method, "segment", recorded)
    other = texture(3)
    same = other.copy()
    same[0, 0] ^= 1  # an equal frame would not be tracked again
    for image in (scene.render(1)[0], other, same, scene.render(2)[0]):
        tracker.step(image)
    assert used[0] == [True, True]
    assert used[1] == [False, False]
    assert used[3] == [False, False]

"""The default method's parts, and what it promises: absent objects are absent, and look-alikes keep their ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from demo_landscape import over
from demo_scene import DemoScene
from demo_sprites import make_sprite
from PIL import Image

from persam_video import Sam, Tracker, load_sam
from persam_video.evaluation.davis.metrics import region_similarity
from persam_video.methods.appearance.descriptors import Colours, describe_cells
from persam_video.methods.appearance.flow import carry, flow_from, small_grey
from persam_video.methods.appearance.kernel_ridge import KernelRidge, kernel, pivots
from persam_video.methods.appearance.motion_prior import Whereabouts
from persam_video.methods.appearance.presence import Presence
from persam_video.methods.appearance.residuals import Places, Residuals
from persam_video.methods.appearance.score_statistics import Levels
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import densest_cells, near, window_sums
from persam_video.sam.grids import Geometry
from persam_video.sam.image_encoder import Features
from persam_video.sam.object_masks import argmax_masks, argmax_with_background, softmax_with_background


def colours_of(image: np.ndarray, size: int = 256) -> Colours:
    (colours,) = Colours.on_grids(torch.from_numpy(image), Geometry(*image.shape[:2]), [size])
    return colours


class TestCells:
    def test_features_of_length_one_and_colours(self) -> None:
        image = np.zeros((36, 64, 3), np.uint8)
        image[:, 32:, 0] = 255
        image[::2, :32, 1] = 255
        features = Features(torch.randn(1, 256, 36, 64), Geometry(36, 64), torch.from_numpy(image))
        unit, colours = describe_cells(features, colours_of(image, 64))
        assert unit.shape == (36 * 64, 256)
        torch.testing.assert_close(unit.norm(dim=1), torch.ones(36 * 64))
        assert colours[63].tolist() == [1, 0, 0, 0, 0, 0]  # one pixel is one cell here

    def test_the_spread_within_a_cell(self) -> None:
        image = np.zeros((72, 128, 3), np.uint8)
        image[::2, :, 1] = 255
        features = Features(torch.randn(1, 256, 36, 64), Geometry(72, 128), torch.from_numpy(image))
        _, colours = describe_cells(features, colours_of(image, 64))
        torch.testing.assert_close(colours[100], torch.tensor([0, 0.5, 0, 0, 0.5, 0]))

    @pytest.mark.parametrize("size", [(100, 301), (480, 854), (9, 40)])
    def test_on_a_gpu_they_are_the_same(self, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        by_opencv = colours_of(image)
        monkeypatch.setattr("persam_video.methods.appearance.descriptors._BY_OPENCV", ())
        by_torch = colours_of(image)
        torch.testing.assert_close(by_torch.mean, by_opencv.mean, atol=1e-5, rtol=0)
        torch.testing.assert_close(by_torch.deviation, by_opencv.deviation, atol=1e-3, rtol=0)

    @pytest.mark.parametrize("size", [(100, 301), (301, 100), (816, 1920)])
    def test_a_frame_that_ends_within_a_cell(self, size: tuple[int, int]) -> None:
        rows, columns = Geometry(*size).grid(64)
        image = np.full((*size, 3), 255, np.uint8)
        features = Features(torch.randn(1, 256, rows, columns), Geometry(*size), torch.from_numpy(image))
        _, colours = describe_cells(features, colours_of(image, 64))
        white = torch.tensor([1.0, 1, 1, 0, 0, 0]).expand(rows * columns, 6)
        torch.testing.assert_close(colours, white)

    def test_a_place_beside_its_surroundings(self) -> None:
        image = np.zeros((144, 256, 3), np.uint8)  # one pixel is one place
        image[72, 128] = 255
        contrast = colours_of(image).contrast()
        torch.testing.assert_close(contrast[:, 72, 128], torch.full((3,), 80 / 81))
        torch.testing.assert_close(contrast[:, 76, 124], torch.full((3,), -1 / 81))
        assert contrast[:, 77, 128].abs().max() < 1e-6

    def test_the_outermost_places_are_repeated_beyond_the_frame(self) -> None:
        colours = Colours(torch.rand(3, 20, 30), torch.zeros(3, 20, 30))
        wider = F.pad(colours.mean[None], (4, 4, 4, 4), mode="replicate")
        torch.testing.assert_close(colours.contrast(), colours.mean - F.avg_pool2d(wider, 9, stride=1)[0])


class TestResiduals:
    """A line, red on grey, that nobody says is the object's."""

    def scene(self, line: tuple[int, int, int]) -> tuple[Colours, torch.Tensor, torch.Tensor]:
        """The colours, what is said, and the truth."""
        image = np.full((144, 256, 3), 120, np.uint8)
        image[40:80, 40:80] = (200, 200, 40)
        image[60, 80:160] = line
        truth = torch.zeros(1, 144, 256)
        truth[0, 40:80, 40:80] = truth[0, 60, 80:160] = 1
        said = torch.full((1, 144, 256), -5.0)
        said[0, 40:80, 40:80] = 5
        return colours_of(image), said, truth

    def learned(self, settings: Settings) -> Residuals:
        colours, said, truth = self.scene((220, 30, 30))
        inputs = Places.of(colours, said, said / 2, settings).inputs()[0]
        errors = truth - (said * 1.5).sigmoid()
        return Residuals.fit([(inputs, errors[0].flatten())], settings)

    @pytest.mark.parametrize(("line", "found"), [((220, 30, 30), True), ((30, 30, 220), False)])
    def test_an_error_is_expected_again_where_it_looks_the_same(self, line: tuple[int, int, int], found: bool) -> None:
        settings = Settings()
        colours, said, truth = self.scene(line)
        logits = said * 1.5
        everywhere = torch.ones_like(truth, dtype=torch.bool)
        places = Places.of(colours, said, said / 2, settings)
        corrected = self.learned(settings).correct(logits, places, everywhere)
        assert (corrected[0, 60, 90:150] > 0).all() == found
        assert torch.equal(corrected[0, 40:80, 40:80] > 0, truth[0, 40:80, 40:80] > 0)
        assert not (corrected[0, 100:] > 0).any()

    def test_nothing_changes_out_of_the_region(self) -> None:
        settings = Settings()
        colours, said, truth = self.scene((220, 30, 30))
        left = torch.zeros_like(truth, dtype=torch.bool)
        left[..., :120] = True
        corrected = self.learned(settings).correct(said, Places.of(colours, said, said / 2, settings), left)
        assert torch.equal(corrected[..., 120:], said[..., 120:])
        assert (corrected[0, 60, 90:110] > 0).all()

    def test_looking_at_all_places_gives_the_same_as_counting_those_of_the_regions(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = Settings()
        colours, said, _ = self.scene((220, 30, 30))
        both = torch.cat((said, said / 2, said / 4))
        regions = torch.rand(both.shape) > 0.5
        places = Places.of(colours, both, both / 2, settings)
        learned = self.learned(settings)
        learned = learned.join(learned).join(learned)
        counted = learned.correct(both, places, regions)
        monkeypatch.setattr("persam_video.methods.appearance.residuals._COUNTING", ())
        monkeypatch.setattr("persam_video.methods.appearance.residuals._OBJECTS_AT_A_TIME", 2)
        assert (counted != both).any()
        torch.testing.assert_close(learned.correct(both, places, regions), counted)

    def test_flat_pictures_have_fewer_landmarks_and_none_are_no_errors(self) -> None:
        for count in (0, 128):
            settings = Settings(error_landmarks=count)
            flat = Places(torch.zeros(9, 50), torch.zeros(1, 2, 50))
            learned = Residuals.fit([(flat.inputs()[0], torch.zeros(50))], settings)
            assert learned.landmarks.shape == (1, count, 11)
            said = torch.randn(1, 5, 10)
            everywhere = torch.ones_like(said, dtype=torch.bool)
            torch.testing.assert_close(learned.correct(said, flat, everywhere), said)

    def test_objects_are_joined_and_selected(self) -> None:
        settings = Settings()
        two = self.learned(settings).join(self.learned(settings))
        assert two.landmarks.shape == (2, 128, 11)
        assert two.select(torch.tensor([1])).weights.shape == (1, 128)


class TestKernelRidge:
    def cells(self, n: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
        return F.normalize(torch.randn(n, 256), dim=1), torch.rand(n, 6)

    def test_with_all_cells_as_landmarks_it_is_exact(self) -> None:
        """The mean of a Gaussian process: k(x, X) (K + noise)⁻¹ (y - mean) + mean."""
        unit, colours = self.cells()
        coverage = torch.rand(300, 2)
        settings = Settings(landmarks=300, noise=0.1)
        classifier = KernelRidge.fit(unit, colours, coverage, torch.ones(300, dtype=torch.bool), settings)
        x = torch.cat((F.normalize(unit - unit.mean(dim=0), dim=1), settings.colour_weight**0.5 * colours), dim=1)
        gram = torch.exp(torch.cdist(x, x).square() / -(2 * settings.bandwidth))
        centred = coverage - coverage.mean(dim=0)
        expected = gram @ torch.linalg.solve(gram + 0.1 * torch.eye(300), centred) + coverage.mean(dim=0)
        torch.testing.assert_close(classifier.scores(classifier.lift(unit, colours)), expected, atol=2e-3, rtol=0)

    def test_few_landmarks_are_enough_for_few_kinds(self) -> None:
        kinds = F.normalize(torch.randn(4, 256), dim=1).repeat_interleave(100, dim=0)
        unit = F.normalize(kinds + 0.01 * torch.randn(400, 256), dim=1)
        coverage = torch.zeros(400, 1)
        coverage[:100] = 1
        ones = torch.ones(400, dtype=torch.bool)
        classifier = KernelRidge.fit(unit, torch.zeros(400, 6), coverage, ones, Settings(landmarks=16))
        scores = classifier.scores(classifier.lift(unit, torch.zeros(400, 6)))
        assert scores[:100].min() > 0.9
        assert scores[100:].abs().max() < 0.1

    def test_colour_tells_apart_what_features_do_not(self) -> None:
        unit = F.normalize(torch.ones(100, 256) + 0.1 * torch.randn(100, 256), dim=1)
        colours = torch.zeros(100, 6)
        colours[:50, 0] = 1
        coverage = (colours[:, :1] > 0).float()
        known = torch.ones(100, dtype=torch.bool)
        scores = {}
        for weight in (0.0, 2.0):
            classifier = KernelRidge.fit(unit, colours, coverage, known, Settings(colour_weight=weight))
            other = F.normalize(torch.ones(100, 256) + 0.1 * torch.randn(100, 256), dim=1)
            out = classifier.scores(classifier.lift(other, colours))
            scores[weight] = (out[:50].mean() - out[50:].mean()).item()
        assert scores[2.0] > scores[0.0] + 0.3

    def test_cells_that_do_not_count_teach_nothing(self) -> None:
        unit, colours = self.cells()
        coverage = torch.rand(300, 1)
        counts = torch.arange(300) < 200
        wrong = torch.where(counts[:, None], coverage, 50.0)
        a, b = (KernelRidge.fit(unit, colours, each, counts, Settings()) for each in (coverage, wrong))
        assert torch.equal(a.scores(a.lift(unit, colours)), b.scores(b.lift(unit, colours)))

    def test_later_frames_are_learned_and_the_first_is_not_forgotten(self) -> None:
        kinds = F.normalize(torch.randn(4, 256), dim=1)
        unit, colours = kinds.repeat_interleave(50, dim=0), torch.zeros(200, 6)
        coverage, known = torch.zeros(200, 1), torch.ones(200, dtype=torch.bool)
        coverage[:50] = 1
        classifier = KernelRidge.fit(unit, colours, coverage, known, Settings())
        lifted = classifier.lift(unit, colours)
        changed = torch.zeros(200, 1)
        changed[50:100] = 1  # the object has turned, and shows what was only around it before
        first = classifier.given_scores(lifted)
        torch.testing.assert_close(first, classifier.scores(lifted))
        for _ in range(60):
            classifier = classifier.learn(lifted, changed, torch.ones(200), torch.tensor(0.1))
        scores = classifier.scores(lifted)
        assert scores[50:100].mean() == pytest.approx(1 - Settings().first_share, abs=0.05)
        assert scores[:50].mean() == pytest.approx(Settings().first_share, abs=0.05)
        assert scores[100:].abs().max() < 0.05
        torch.testing.assert_close(classifier.given_scores(lifted), first)

    def test_pivots_are_cells_that_differ(self) -> None:
        kinds = torch.eye(5).repeat(10, 1)
        taken = pivots(kinds, torch.ones(50), 30, 0.5)
        assert sorted((taken % 5).tolist()) == [0, 1, 2, 3, 4]  # one of each kind is all there is to know

    def test_the_kernel(self) -> None:
        a = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
        torch.testing.assert_close(kernel(a, a, 0.5), torch.tensor([[1, np.exp(-5)], [np.exp(-5), 1]]).float())
        several = torch.randn(2, 5, 3)
        expected = torch.stack([torch.exp(torch.cdist(each, each).square() / -3) for each in several])
        torch.testing.assert_close(kernel(several, several, 1.5), expected)

    def test_nothing_is_so_unlike_that_processors_are_slow(self) -> None:
        far = kernel(torch.zeros(1, 2), torch.full((1, 2), 30.0), 1.0)
        assert torch.finfo(far.dtype).tiny < far < 1e-20


class TestLevels:
    def test_means_and_scatter(self) -> None:
        scores = torch.tensor([[[0.0, 0.2, 0.8, 1.0]]])
        inside = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
        levels = Levels.measure(scores, inside, 1 - inside)
        torch.testing.assert_close(levels.inside, torch.tensor([0.9]))
        torch.testing.assert_close(levels.outside, torch.tensor([0.1]))
        torch.testing.assert_close(levels.inside_scatter, torch.tensor([0.1]))
        assert levels.position(torch.tensor([0.5])).item() == pytest.approx(0.5)

    def test_halfway_is_undecided_and_scatter_makes_doubt(self) -> None:
        scores = torch.tensor([[[0.5, 0.7]]])
        clear, doubtful = (Levels(*(torch.tensor([x]) for x in (0.9, 0.1, s, s))).log_odds(scores) for s in (0.1, 0.4))
        assert clear[0, 0, 0].item() == pytest.approx(0, abs=1e-6)
        assert clear[0, 0, 1].item() == pytest.approx(0.2 * 0.8 / 0.01, rel=1e-4)
        assert doubtful[0, 0, 1].item() == pytest.approx(0.2 * 0.8 / 0.16, rel=1e-4)

    def test_an_object_stays_as_distinct_as_a_quarter_of_what_it_was(self) -> None:
        first = Levels(*(torch.tensor([x]) for x in (0.9, 0.1, 0.1, 0.1)))
        now = Levels(*(torch.tensor([x]) for x in (0.2, 0.3, 0.1, 0.1)))
        assert now.at_least(first).inside.item() == pytest.approx(0.5)


class TestContrast:
    """Of two objects' places, 3×3 cells each."""

    LEVELS = Levels(*(torch.tensor([x, x]) for x in (0.9, 0.1, 0.1, 0.1)))

    def measured(self, inside_score: float, around_score: float) -> list[float]:
        scores = torch.full((2, 9, 9), 0.1)
        inside, around = torch.zeros(2, 2, 9, 9)
        for i, (row, column) in enumerate(((1, 1), (4, 5))):
            around[i, row - 1 : row + 4, column - 1 : column + 4] = 1
            inside[i, row : row + 3, column : column + 3] = 1
        scores[around > 0] = around_score
        scores[inside > 0] = inside_score
        return self.LEVELS.contrast(scores, inside, around - inside).tolist()

    @pytest.mark.parametrize(
        ("inside", "around", "contrast"), [(0.9, 0.1, 1), (0.5, 0.1, 0.5), (0.9, 0.9, 0), (0.5, 0.3, 0.25)]
    )
    def test_it_is_one_where_all_is_as_it_was_learned(self, inside: float, around: float, contrast: float) -> None:
        assert self.measured(inside, around) == pytest.approx([contrast] * 2, abs=1e-5)

    def test_where_there_is_nothing_around(self) -> None:
        everything = torch.ones(2, 9, 9)
        contrast = self.LEVELS.contrast(everything * 0.9, everything, everything * 0)
        assert contrast.tolist() == pytest.approx([1, 1])


class TestPresence:
    """Of two objects that were given as 8×8 cells of the features' grid, which is 32×32 here."""

    LEVELS = Levels(*(torch.tensor([x, x]) for x in (0.9, 0.1, 0.1, 0.1)))
    AREAS = torch.tensor([8.0, 8.0]) ** 2 * 16
    GIVEN = Presence(torch.ones(2), torch.full((2,), 64.0), torch.full((2,), 4.0))

    def measured(
        self, places: list[list[tuple[int, int, int, int]]], rests: list[tuple[int, int, int, int]]
    ) -> Presence:
        """What looks like each object, and its mask: top, left, rows, columns."""
        scores, masks = torch.full((2, 32, 32), 0.1), torch.zeros(2, 128, 128, dtype=torch.bool)
        for i, (theirs, (top, left, rows, columns)) in enumerate(zip(places, rests, strict=True)):
            masks[i, 4 * top : 4 * (top + rows), 4 * left : 4 * (left + columns)] = True
            for y, x, h, w in theirs:
                scores[i, y : y + h, x : x + w] = 0.9
        return Presence.measure(self.LEVELS, scores, self.LEVELS.alike(scores), masks, self.AREAS, Settings())

    def absent(self, seen: Presence, given: Presence = GIVEN) -> list[bool]:
        return seen.absent(given, torch.tensor([False, False]), Settings()).tolist()

    def test_cells_are_counted_within_and_beyond(self) -> None:
        seen = self.measured([[(2, 2, 3, 3), (20, 20, 8, 8)], [(2, 20, 8, 8)]], [(2, 2, 3, 3), (2, 20, 8, 8)])
        assert seen.contrast.tolist() == pytest.approx([1, 1])
        assert seen.here.tolist() == pytest.approx([9, 64], abs=1e-3)
        assert seen.elsewhere.tolist() == pytest.approx([64, 0], abs=1e-3)
        assert self.absent(seen) == [True, False]

    def test_a_mask_that_does_not_stand_out(self) -> None:
        seen = self.measured([[(0, 0, 32, 32)], []], [(2, 2, 8, 8), (20, 20, 8, 8)])
        assert self.absent(seen) == [True, True]

    def test_a_twin_is_no_reason(self) -> None:
        seen = self.measured([[(2, 2, 8, 8), (20, 20, 8, 8)], []], [(2, 2, 8, 8), (30, 2, 1, 1)])
        assert seen.elsewhere[0] == pytest.approx(64, abs=1e-3)
        assert not self.absent(seen)[0]

    def test_what_is_thinner_than_a_cell(self) -> None:
        whole = self.measured([[(2, 2, 1, 8)], []], [(2, 2, 1, 8), (30, 2, 1, 1)])
        masks = torch.zeros(2, 128, 128, dtype=torch.bool)
        masks[0, 9, 8:40] = True
        scores = torch.full((2, 32, 32), 0.1)
        scores[0, 2, 2:10] = 0.9
        thin = Presence.measure(self.LEVELS, scores, self.LEVELS.alike(scores), masks, self.AREAS, Settings())
        assert thin.here[0] == pytest.approx(whole.here[0].item(), abs=1e-3)

    def test_it_takes_more_to_be_back_than_to_stay(self) -> None:
        seen = replace(self.GIVEN, contrast=torch.full((2,), 0.4))
        assert seen.absent(self.GIVEN, torch.tensor([False, True]), Settings()).tolist() == [False, True]

    def test_objects_keep_theirs(self) -> None:
        one, two = (Presence(*torch.arange(6.0).view(3, 2) + start) for start in (0, 10))
        both = one.join(two).select(torch.tensor([1, 2]))
        assert [each.tolist() for each in (both.contrast, both.here, both.elsewhere)] == [[1, 10], [3, 12], [5, 14]]

    @pytest.mark.parametrize("place", [(0, 4, 10, 4), (20, 20, 8, 8)], ids=["within reach", "another's"])
    def test_what_does_not_count_as_elsewhere(self, place: tuple[int, int, int, int]) -> None:
        seen = self.measured([[(2, 2, 4, 2), place], [(20, 20, 8, 8)]], [(2, 2, 4, 2), (20, 20, 8, 8)])
        assert seen.elsewhere[0] < 34 < self.GIVEN.here[0]
        assert self.absent(seen) == [False, False]

    def test_where_something_looked_more_like_it_from_the_first(self) -> None:
        seen = self.measured([[(2, 2, 3, 3), (20, 20, 9, 9)], []], [(2, 2, 3, 3), (30, 2, 1, 1)])
        assert self.absent(seen)[0]
        assert not self.absent(seen, replace(self.GIVEN, elsewhere=torch.full((2,), 70.0)))[0]

    def test_a_little_elsewhere_is_no_reason(self) -> None:
        seen = self.measured([[(2, 2, 2, 2), (20, 20, 5, 5)], []], [(2, 2, 2, 2), (30, 2, 1, 1)])
        assert not self.absent(seen)[0]


class TestMotion:
    def test_what_moves_is_carried(self) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (18, 32, 3), dtype=np.uint8)
        wide = np.array(Image.fromarray(noise).resize((512, 288), Image.Resampling.BICUBIC))
        masks = torch.zeros(1, 144, 256)
        masks[0, 40:80, 100:150] = 1
        now = np.roll(wide, (8, -12), axis=(0, 1))
        moved = carry(masks, flow_from(small_grey(wide), small_grey(now)))
        expected = torch.roll(masks, (4, -6), dims=(1, 2))
        assert ((moved > 0.5) & (expected > 0.5)).sum() / ((moved > 0.5) | (expected > 0.5)).sum() > 0.9

    def test_frames_of_another_size(self) -> None:
        before, now = (small_grey(np.zeros(size, np.uint8)) for size in ((90, 160, 3), (160, 90, 3)))
        assert flow_from(before, now).shape == (2, 512, 288)


class TestWindows:
    def test_sums_are_those_of_the_squares(self) -> None:
        maps = torch.rand(3, 9, 11)
        sums = window_sums(maps, torch.tensor([0, 2, 20]))
        torch.testing.assert_close(sums[0], maps[0])
        torch.testing.assert_close(sums[1, 4, 5], maps[1, 2:7, 3:8].sum())
        torch.testing.assert_close(sums[1, 0, 10], maps[1, :3, 8:].sum())
        torch.testing.assert_close(sums[2], maps[2].sum().expand(9, 11))

    def test_near(self) -> None:
        mask = torch.zeros(1, 9, 9, dtype=torch.bool)
        mask[0, 4, 4] = True
        assert near(mask, torch.tensor([2])).sum() == 25
        assert near(mask, torch.tensor([[1], [3]])).sum(dim=(1, 2, 3)).tolist() == [9, 49]

    def test_the_densest_cell(self) -> None:
        maps = torch.zeros(1, 20, 20)
        maps[0, 2, 2] = 1
        maps[0, 10:15, 12:17] = 0.9
        assert densest_cells(maps, torch.tensor([2])).tolist() == [[14, 12]]


def test_whereabouts() -> None:
    carried = torch.zeros(2, 40, 60)
    carried[0, 20, 30] = 0.9
    settings = Settings(reach_cells=1, reach_share=0.5)
    known = Whereabouts.of(carried, torch.tensor([16.0, 4.0]), torch.tensor([False, True]), settings)
    assert known.likely.nonzero().tolist() == [[0, 20, 30]]
    assert known.near_by.sum(dim=(1, 2)).tolist() == [7 * 7, 0]
    assert known.around[0].sum() == pytest.approx(13 * 13 - 0.9)
    assert known.around[0, 20, 30] == pytest.approx(0.1)


def test_every_place_has_one_owner() -> None:
    logits = torch.randn(3, 20, 30).round()  # some are alike
    logits[1, :5] = float("nan")
    assert torch.equal(argmax_masks(logits), argmax_with_background([logits]) == torch.arange(1, 4)[:, None, None])


def test_objects_exclude_one_another() -> None:
    found = softmax_with_background(torch.tensor([[[4.0, -9.0]], [[4.0, 5.0]]]))
    assert found[:, 0, 0].tolist() == pytest.approx([0.4955, 0.4955], abs=1e-3)
    assert found[1, 0, 1] > 0.99


def lookalikes(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Two toys that are the same to the pixel: one goes to the right above, the other to the left below."""
    noise = np.random.default_rng(1).integers(60, 190, (9, 16, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(noise).resize((480, 270), Image.Resampling.BICUBIC))
    sprite = make_sprite("ladybird", 96, hue=0.0, rng=np.random.default_rng(2))
    label_map = np.zeros((270, 480), np.uint8)
    for object_id, left, top in ((1, 60 + 22 * index, 30), (2, 324 - 22 * index, 150)):
        place = np.s_[top : top + 96, left : left + 96]
        image[place] = over(image[place], sprite.rgb, np.repeat(sprite.alpha[..., None], 3, axis=2))
        label_map[place][sprite.alpha > 127] = object_id
    return image, label_map


def test_lookalikes_that_cross_keep_their_ids(sam: Sam) -> None:
    tracker = Tracker(sam, *lookalikes(0))
    for index in range(1, 13):
        image, truth = lookalikes(index)
        result = tracker.step(image)
        for object_id in (1, 2):
            mask, wanted = result.mask(object_id), truth == object_id
            assert (mask & wanted).sum() / (mask | wanted).sum() > 0.7, (index, object_id)


def hidden(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A toy goes behind a box, from which a piece of it looks out; from frame 4 on it is elsewhere, but so is the
    piece where it was."""
    noise = np.random.default_rng(1).integers(60, 190, (9, 16, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(noise).resize((480, 270), Image.Resampling.BICUBIC))
    sprite = make_sprite("ladybird", 96, hue=0.0, rng=np.random.default_rng(2))
    label_map = np.zeros((270, 480), np.uint8)
    for left, shown in ((60, True), (320, index >= 4)):
        if shown:
            place = np.s_[80:176, left : left + 96]
            image[place] = over(image[place], sprite.rgb, np.repeat(sprite.alpha[..., None], 3, axis=2))
            label_map[:] = 0
            label_map[place][sprite.alpha > 127] = 1  # the whole
    if index:
        image[70:186, 90:170] = (90, 90, 110)
    return image, label_map


def test_an_object_is_seen_elsewhere_though_a_piece_of_it_stays(sam: Sam) -> None:
    tracker = Tracker(sam, *hidden(0))
    for index in range(1, 7):
        image, truth = hidden(index)
        found = tracker.step(image).mask(1)
        if index == 3:
            assert found.any()  # the piece
    assert region_similarity(found, truth == 1) > 0.8


def test_scores_estimate_the_iou(sam: Sam, demo_scene: DemoScene) -> None:
    tracker = Tracker(sam, demo_scene.render(0)[0], demo_scene.label_map(0))
    for index in (1, 2, 3):
        image, truth = demo_scene.render(index)
        result = tracker.step(image)
        for i, score in result.scores.items():
            assert score == pytest.approx(region_similarity(result.label_map == i, truth == i), abs=0.15)


def test_a_mask_that_is_not_what_was_followed_scores_low(sam: Sam, demo_scene: DemoScene) -> None:
    """The picture jumps by half its width: the toys are found or not, but nothing that is shown is certain."""
    image, truth = demo_scene.render(0)
    tracker = Tracker(sam, image, truth)
    result = tracker.step(np.roll(image, 427, axis=1))
    moved = np.roll(truth, 427, axis=1)
    for i, score in result.scores.items():
        iou = region_similarity(result.label_map == i, moved == i)
        assert not result.visible[i] or score < iou + 0.2


@pytest.mark.parametrize("method", ["appearance", "persam-f"])
def test_toys_are_followed_at_half_the_size(demo_scene: DemoScene, method: str) -> None:
    half = load_sam("vit_t", device="cpu", size=512, progress=False)
    tracker = Tracker(half, demo_scene.render(0)[0], demo_scene.label_map(0), method=method)
    for index in (1, 2, 3):
        image, truth = demo_scene.render(index)
        found = tracker.step(image).label_map
        assert all(region_similarity(found == i, truth == i) > 0.75 for i in (1, 2, 3))

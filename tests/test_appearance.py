"""Parts of the appearance method, and its tracking of look-alikes and hidden objects."""

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
from persam_video.methods.appearance.descriptors import Colours, cell_descriptors, pool_with_opencv, pool_with_torch
from persam_video.methods.appearance.kernel_ridge import KernelRidge, kernel, pivots
from persam_video.methods.appearance.motion_prior import MotionPrior
from persam_video.methods.appearance.presence import Presence
from persam_video.methods.appearance.residuals import ResidualInputs, ResidualModel
from persam_video.methods.appearance.score_statistics import ScoreStatistics
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.windows import densest_cells, dilate, window_sums
from persam_video.methods.flow import backward_flow, reduced_image, warp
from persam_video.sam.grids import Geometry
from persam_video.sam.image_encoder import Features
from persam_video.sam.object_masks import argmax_masks, argmax_with_background, softmax_with_background
from persam_video.sam.window import Window


def colours_of(image: np.ndarray, size: int = 256) -> Colours:
    (colours,) = Colours.on_grids(torch.from_numpy(image), Geometry(*image.shape[:2]), [size])
    return colours


class TestDescriptors:
    def test_unit_features_and_colours(self) -> None:
        image = np.zeros((36, 64, 3), np.uint8)
        image[:, 32:, 0] = 255
        image[::2, :32, 1] = 255
        features = Features(torch.randn(1, 256, 36, 64), Window.whole((36, 64)), torch.from_numpy(image))
        unit, colours = cell_descriptors(features, colours_of(image, 64))
        assert unit.shape == (36 * 64, 256)
        torch.testing.assert_close(unit.norm(dim=1), torch.ones(36 * 64))
        assert colours[63].tolist() == [1, 0, 0, 0, 0, 0]  # one pixel is one cell here

    def test_standard_deviation_within_a_cell(self) -> None:
        image = np.zeros((72, 128, 3), np.uint8)
        image[::2, :, 1] = 255
        features = Features(torch.randn(1, 256, 36, 64), Window.whole((72, 128)), torch.from_numpy(image))
        _, colours = cell_descriptors(features, colours_of(image, 64))
        torch.testing.assert_close(colours[100], torch.tensor([0, 0.5, 0, 0, 0.5, 0]))

    @pytest.mark.parametrize("size", [(100, 301), (480, 854), (9, 40)])
    def test_torch_pools_as_opencv_does(self, size: tuple[int, int]) -> None:
        pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
        grids = [Geometry(*size).grid(cells) for cells in (64, 256)]
        pooled = (pool(pixels, 3, 5, grids) for pool in (pool_with_torch, pool_with_opencv))
        for one, other in zip(*pooled, strict=True):
            a, b = Colours.from_moments(*one), Colours.from_moments(*other)
            torch.testing.assert_close(a.mean, b.mean, atol=1e-5, rtol=0)
            torch.testing.assert_close(a.std, b.std, atol=1e-3, rtol=0)

    @pytest.mark.parametrize("size", [(100, 301), (301, 100), (816, 1920)])
    def test_a_frame_that_ends_within_a_cell(self, size: tuple[int, int]) -> None:
        rows, columns = Geometry(*size).grid(64)
        image = np.full((*size, 3), 255, np.uint8)
        features = Features(torch.randn(1, 256, rows, columns), Window.whole(size), torch.from_numpy(image))
        _, colours = cell_descriptors(features, colours_of(image, 64))
        white = torch.tensor([1.0, 1, 1, 0, 0, 0]).expand(rows * columns, 6)
        torch.testing.assert_close(colours, white)

    def test_contrast_of_a_cell_to_its_neighbourhood(self) -> None:
        image = np.zeros((144, 256, 3), np.uint8)  # one pixel is one cell
        image[72, 128] = 255
        contrast = colours_of(image).contrast()
        torch.testing.assert_close(contrast[:, 72, 128], torch.full((3,), 80 / 81))
        torch.testing.assert_close(contrast[:, 76, 124], torch.full((3,), -1 / 81))
        assert contrast[:, 77, 128].abs().max() < 1e-6

    def test_the_outermost_cells_are_repeated_beyond_the_frame(self) -> None:
        colours = Colours(torch.rand(3, 20, 30), torch.zeros(3, 20, 30))
        wider = F.pad(colours.mean[None], (4, 4, 4, 4), mode="replicate")
        torch.testing.assert_close(colours.contrast(), colours.mean - F.avg_pool2d(wider, 9, stride=1)[0])


class TestResiduals:
    """A red line on grey, part of the object, that SAM's logits leave out."""

    def scene(self, line: tuple[int, int, int]) -> tuple[Colours, torch.Tensor, torch.Tensor]:
        """Colours, SAM's logits and true mask."""
        image = np.full((144, 256, 3), 120, np.uint8)
        image[40:80, 40:80] = (200, 200, 40)
        image[60, 80:160] = line
        truth = torch.zeros(1, 144, 256)
        truth[0, 40:80, 40:80] = truth[0, 60, 80:160] = 1
        sam_logits = torch.full((1, 144, 256), -5.0)
        sam_logits[0, 40:80, 40:80] = 5
        return colours_of(image), sam_logits, truth

    def fitted(self, settings: Settings) -> ResidualModel:
        colours, sam_logits, truth = self.scene((220, 30, 30))
        inputs = ResidualInputs.of(colours, sam_logits, sam_logits / 2, settings).dense()[0]
        errors = truth - (sam_logits * 1.5).sigmoid()
        return ResidualModel.fit([(inputs, errors[0].flatten())], settings)

    @pytest.mark.parametrize(("line", "found"), [((220, 30, 30), True), ((30, 30, 220), False)])
    def test_an_error_is_predicted_again_for_the_same_colours(self, line: tuple[int, int, int], found: bool) -> None:
        settings = Settings()
        colours, sam_logits, truth = self.scene(line)
        logits = sam_logits * 1.5
        everywhere = torch.ones_like(truth, dtype=torch.bool)
        inputs = ResidualInputs.of(colours, sam_logits, sam_logits / 2, settings)
        corrected = self.fitted(settings).correct(logits, inputs, everywhere)
        assert (corrected[0, 60, 90:150] > 0).all() == found
        assert torch.equal(corrected[0, 40:80, 40:80] > 0, truth[0, 40:80, 40:80] > 0)
        assert not (corrected[0, 100:] > 0).any()

    def test_cells_out_of_the_region_do_not_change(self) -> None:
        settings = Settings()
        colours, sam_logits, truth = self.scene((220, 30, 30))
        left = torch.zeros_like(truth, dtype=torch.bool)
        left[..., :120] = True
        inputs = ResidualInputs.of(colours, sam_logits, sam_logits / 2, settings)
        corrected = self.fitted(settings).correct(sam_logits, inputs, left)
        assert torch.equal(corrected[..., 120:], sam_logits[..., 120:])
        assert (corrected[0, 60, 90:110] > 0).all()

    def test_dense_correction_is_the_same_as_sparse(self) -> None:
        settings = Settings()
        colours, sam_logits, _ = self.scene((220, 30, 30))
        logits = torch.cat((sam_logits, sam_logits / 2, sam_logits / 4))
        regions = torch.rand(logits.shape) > 0.5
        inputs = ResidualInputs.of(colours, logits, logits / 2, settings)
        model = self.fitted(settings)
        model = model.concat(model).concat(model)
        sparse = model.correct_sparse(logits, inputs, regions)
        assert (sparse != logits).any()
        torch.testing.assert_close(model.correct_dense(logits, inputs, regions, batch=2), sparse)

    def test_flat_images_have_fewer_landmarks_and_none_predict_no_errors(self) -> None:
        for count in (0, 128):
            settings = Settings(error_landmarks=count)
            flat = ResidualInputs(torch.zeros(9, 50), torch.zeros(1, 2, 50))
            model = ResidualModel.fit([(flat.dense()[0], torch.zeros(50))], settings)
            assert model.landmarks.shape == (1, count, 11)
            sam_logits = torch.randn(1, 5, 10)
            everywhere = torch.ones_like(sam_logits, dtype=torch.bool)
            torch.testing.assert_close(model.correct(sam_logits, flat, everywhere), sam_logits)

    def test_objects_are_concatenated_and_selected(self) -> None:
        settings = Settings()
        two = self.fitted(settings).concat(self.fitted(settings))
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
        classifier = KernelRidge.fit(unit, colours, coverage, torch.ones(300), settings)
        x = torch.cat((F.normalize(unit - unit.mean(dim=0), dim=1), settings.colour_weight**0.5 * colours), dim=1)
        gram = torch.exp(torch.cdist(x, x).square() / -(2 * settings.bandwidth))
        centred = coverage - coverage.mean(dim=0)
        expected = gram @ torch.linalg.solve(gram + 0.1 * torch.eye(300), centred) + coverage.mean(dim=0)
        torch.testing.assert_close(classifier.scores(classifier.lift(unit, colours)), expected, atol=2e-3, rtol=0)

    def test_few_landmarks_suffice_for_few_kinds_of_cells(self) -> None:
        kinds = F.normalize(torch.randn(4, 256), dim=1).repeat_interleave(100, dim=0)
        unit = F.normalize(kinds + 0.01 * torch.randn(400, 256), dim=1)
        coverage = torch.zeros(400, 1)
        coverage[:100] = 1
        ones = torch.ones(400)
        classifier = KernelRidge.fit(unit, torch.zeros(400, 6), coverage, ones, Settings(landmarks=16))
        scores = classifier.scores(classifier.lift(unit, torch.zeros(400, 6)))
        assert scores[:100].min() > 0.9
        assert scores[100:].abs().max() < 0.1

    def test_colour_separates_cells_with_the_same_features(self) -> None:
        unit = F.normalize(torch.ones(100, 256) + 0.1 * torch.randn(100, 256), dim=1)
        colours = torch.zeros(100, 6)
        colours[:50, 0] = 1
        coverage = (colours[:, :1] > 0).float()
        known = torch.ones(100)
        scores = {}
        for weight in (0.0, 2.0):
            classifier = KernelRidge.fit(unit, colours, coverage, known, Settings(colour_weight=weight))
            other = F.normalize(torch.ones(100, 256) + 0.1 * torch.randn(100, 256), dim=1)
            out = classifier.scores(classifier.lift(other, colours))
            scores[weight] = (out[:50].mean() - out[50:].mean()).item()
        assert scores[2.0] > scores[0.0] + 0.3

    def test_unknown_cells_are_left_out(self) -> None:
        unit, colours = self.cells()
        coverage = torch.rand(300, 1)
        known = torch.arange(300) < 200
        wrong = torch.where(known[:, None], coverage, 50.0)
        a, b = (KernelRidge.fit(unit, colours, each, known.float(), Settings()) for each in (coverage, wrong))
        assert torch.equal(a.scores(a.lift(unit, colours)), b.scores(b.lift(unit, colours)))

    def test_updates_keep_the_share_of_the_first_frame(self) -> None:
        kinds = F.normalize(torch.randn(4, 256), dim=1)
        unit, colours = kinds.repeat_interleave(50, dim=0), torch.zeros(200, 6)
        coverage, known = torch.zeros(200, 1), torch.ones(200)
        coverage[:50] = 1
        classifier = KernelRidge.fit(unit, colours, coverage, known, Settings())
        lifted = classifier.lift(unit, colours)
        changed = torch.zeros(200, 1)
        changed[50:100] = 1  # the object has turned, and now covers other cells
        first = classifier.first_frame_scores(lifted)
        torch.testing.assert_close(first, classifier.scores(lifted))
        for _ in range(60):
            classifier = classifier.update(lifted, changed, torch.ones(200), torch.tensor(0.1))
        scores = classifier.scores(lifted)
        assert scores[50:100].mean() == pytest.approx(1 - Settings().first_frame_share, abs=0.05)
        assert scores[:50].mean() == pytest.approx(Settings().first_frame_share, abs=0.05)
        assert scores[100:].abs().max() < 0.05
        torch.testing.assert_close(classifier.first_frame_scores(lifted), first)

    def test_pivots_are_cells_that_differ(self) -> None:
        kinds = torch.eye(5).repeat(10, 1)
        chosen = pivots(kinds, torch.ones(50), 30, 0.5)
        assert sorted((chosen % 5).tolist()) == [0, 1, 2, 3, 4]  # one of each kind explains all

    def test_the_kernel(self) -> None:
        a = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
        torch.testing.assert_close(kernel(a, a, 0.5), torch.tensor([[1, np.exp(-5)], [np.exp(-5), 1]]).float())
        several = torch.randn(2, 5, 3)
        expected = torch.stack([torch.exp(torch.cdist(each, each).square() / -3) for each in several])
        torch.testing.assert_close(kernel(several, several, 1.5), expected)

    def test_the_kernel_has_no_denormals(self) -> None:
        far = kernel(torch.zeros(1, 2), torch.full((1, 2), 30.0), 1.0)
        assert torch.finfo(far.dtype).tiny < far < 1e-20


class TestScoreStatistics:
    def test_means_and_standard_deviations(self) -> None:
        scores = torch.tensor([[[0.0, 0.2, 0.8, 1.0]]])
        inside = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
        statistics = ScoreStatistics.measure(scores, inside, 1 - inside)
        torch.testing.assert_close(statistics.foreground_mean, torch.tensor([0.9]))
        torch.testing.assert_close(statistics.background_mean, torch.tensor([0.1]))
        torch.testing.assert_close(statistics.foreground_std, torch.tensor([0.1]))
        assert statistics.normalised(torch.tensor([0.5])).item() == pytest.approx(0.5)

    def test_log_odds_are_zero_halfway_and_smaller_with_a_larger_std(self) -> None:
        scores = torch.tensor([[[0.5, 0.7]]])
        small, large = (ScoreStatistics(*torch.tensor([[0.9], [0.1], [std], [std]])) for std in (0.1, 0.4))
        assert small.log_odds(scores)[0, 0, 0].item() == pytest.approx(0, abs=1e-6)
        assert small.log_odds(scores)[0, 0, 1].item() == pytest.approx(0.2 * 0.8 / 0.01, rel=1e-4)
        assert large.log_odds(scores)[0, 0, 1].item() == pytest.approx(0.2 * 0.8 / 0.16, rel=1e-4)

    def test_the_separation_is_at_least_a_quarter_of_the_first(self) -> None:
        first = ScoreStatistics(*(torch.tensor([x]) for x in (0.9, 0.1, 0.1, 0.1)))
        now = ScoreStatistics(*(torch.tensor([x]) for x in (0.2, 0.3, 0.1, 0.1)))
        assert now.with_minimum_separation(first).foreground_mean.item() == pytest.approx(0.5)


class TestContrast:
    """Of two objects, 3×3 cells each."""

    STATISTICS = ScoreStatistics(*(torch.tensor([x, x]) for x in (0.9, 0.1, 0.1, 0.1)))

    def measured(self, inside_score: float, around_score: float) -> list[float]:
        scores = torch.full((2, 9, 9), 0.1)
        inside, around = torch.zeros(2, 2, 9, 9)
        for i, (row, column) in enumerate(((1, 1), (4, 5))):
            around[i, row - 1 : row + 4, column - 1 : column + 4] = 1
            inside[i, row : row + 3, column : column + 3] = 1
        scores[around > 0] = around_score
        scores[inside > 0] = inside_score
        return self.STATISTICS.contrast(scores, inside, around - inside).tolist()

    @pytest.mark.parametrize(
        ("inside", "around", "contrast"), [(0.9, 0.1, 1), (0.5, 0.1, 0.5), (0.9, 0.9, 0), (0.5, 0.3, 0.25)]
    )
    def test_it_is_one_for_the_measured_means(self, inside: float, around: float, contrast: float) -> None:
        assert self.measured(inside, around) == pytest.approx([contrast] * 2, abs=1e-5)

    def test_without_background_cells(self) -> None:
        everything = torch.ones(2, 9, 9)
        contrast = self.STATISTICS.contrast(everything * 0.9, everything, everything * 0)
        assert contrast.tolist() == pytest.approx([1, 1])


class TestPresence:
    """Of two objects with 8×8 cells of the feature grid in their first frame; the grid is 32×32 here."""

    STATISTICS = ScoreStatistics(*(torch.tensor([x, x]) for x in (0.9, 0.1, 0.1, 0.1)))
    AREAS = torch.tensor([8.0, 8.0]) ** 2 * 16
    FIRST = Presence(torch.ones(2), torch.full((2,), 64.0), torch.full((2,), 4.0))

    def measured(
        self, alike: list[list[tuple[int, int, int, int]]], boxes: list[tuple[int, int, int, int]]
    ) -> Presence:
        """Presence of objects by regions with a high score, and by their masks: top, left, rows, columns."""
        scores, masks = torch.full((2, 32, 32), 0.1), torch.zeros(2, 128, 128, dtype=torch.bool)
        for i, (regions, (top, left, rows, columns)) in enumerate(zip(alike, boxes, strict=True)):
            masks[i, 4 * top : 4 * (top + rows), 4 * left : 4 * (left + columns)] = True
            for y, x, h, w in regions:
                scores[i, y : y + h, x : x + w] = 0.9
        return self.of_masks(scores, masks)

    def of_masks(self, scores: torch.Tensor, masks: torch.Tensor) -> Presence:
        likeness = self.STATISTICS.likeness(scores)
        return Presence.measure(self.STATISTICS, scores, likeness, masks, self.AREAS, Settings())

    def absent(self, presence: Presence, first: Presence = FIRST) -> list[bool]:
        return presence.absent(first, torch.tensor([False, False]), Settings()).tolist()

    def test_likeness_inside_and_elsewhere(self) -> None:
        presence = self.measured([[(2, 2, 3, 3), (20, 20, 8, 8)], [(2, 20, 8, 8)]], [(2, 2, 3, 3), (2, 20, 8, 8)])
        assert presence.contrast.tolist() == pytest.approx([1, 1])
        assert presence.likeness_inside.tolist() == pytest.approx([9, 64], abs=1e-3)
        assert presence.likeness_elsewhere.tolist() == pytest.approx([64, 0], abs=1e-3)
        assert self.absent(presence) == [True, False]

    def test_a_mask_without_contrast_is_absent(self) -> None:
        presence = self.measured([[(0, 0, 32, 32)], []], [(2, 2, 8, 8), (20, 20, 8, 8)])
        assert self.absent(presence) == [True, True]

    def test_an_equal_object_elsewhere_is_not_enough(self) -> None:
        presence = self.measured([[(2, 2, 8, 8), (20, 20, 8, 8)], []], [(2, 2, 8, 8), (30, 2, 1, 1)])
        assert presence.likeness_elsewhere[0] == pytest.approx(64, abs=1e-3)
        assert not self.absent(presence)[0]

    def test_a_mask_thinner_than_a_cell(self) -> None:
        whole = self.measured([[(2, 2, 1, 8)], []], [(2, 2, 1, 8), (30, 2, 1, 1)])
        masks = torch.zeros(2, 128, 128, dtype=torch.bool)
        masks[0, 9, 8:40] = True
        scores = torch.full((2, 32, 32), 0.1)
        scores[0, 2, 2:10] = 0.9
        thin = self.of_masks(scores, masks)
        assert thin.likeness_inside[0] == pytest.approx(whole.likeness_inside[0].item(), abs=1e-3)

    def test_an_absent_object_needs_more_contrast(self) -> None:
        presence = replace(self.FIRST, contrast=torch.full((2,), 0.4))
        assert presence.absent(self.FIRST, torch.tensor([False, True]), Settings()).tolist() == [False, True]

    def test_objects_are_concatenated_and_selected(self) -> None:
        one, two = (Presence(*torch.arange(6.0).view(3, 2) + start) for start in (0, 10))
        both = one.concat(two).select(torch.tensor([1, 2]))
        assert both.contrast.tolist() == [1, 10]
        assert both.likeness_inside.tolist() == [3, 12]
        assert both.likeness_elsewhere.tolist() == [5, 14]

    @pytest.mark.parametrize("region", [(0, 4, 10, 4), (20, 20, 8, 8)], ids=["search region", "another object"])
    def test_regions_that_do_not_count_as_elsewhere(self, region: tuple[int, int, int, int]) -> None:
        presence = self.measured([[(2, 2, 4, 2), region], [(20, 20, 8, 8)]], [(2, 2, 4, 2), (20, 20, 8, 8)])
        assert presence.likeness_elsewhere[0] < 34 < self.FIRST.likeness_inside[0]
        assert self.absent(presence) == [False, False]

    def test_more_likeness_elsewhere_in_the_first_frame(self) -> None:
        presence = self.measured([[(2, 2, 3, 3), (20, 20, 9, 9)], []], [(2, 2, 3, 3), (30, 2, 1, 1)])
        assert self.absent(presence)[0]
        assert not self.absent(presence, replace(self.FIRST, likeness_elsewhere=torch.full((2,), 70.0)))[0]

    def test_a_small_region_elsewhere_is_not_enough(self) -> None:
        presence = self.measured([[(2, 2, 2, 2), (20, 20, 5, 5)], []], [(2, 2, 2, 2), (30, 2, 1, 1)])
        assert not self.absent(presence)[0]


class TestMotion:
    def test_moving_masks_are_warped(self) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (18, 32, 3), dtype=np.uint8)
        wide = np.array(Image.fromarray(noise).resize((512, 288), Image.Resampling.BICUBIC))
        masks = torch.zeros(1, 144, 256)
        masks[0, 40:80, 100:150] = 1
        rolled = np.roll(wide, (8, -12), axis=(0, 1))
        moved = warp(masks, backward_flow(reduced_image(wide).grey, reduced_image(rolled).grey))
        expected = torch.roll(masks, (4, -6), dims=(1, 2))
        assert ((moved > 0.5) & (expected > 0.5)).sum() / ((moved > 0.5) | (expected > 0.5)).sum() > 0.9

    def test_frames_of_another_size(self) -> None:
        previous, current = (reduced_image(np.zeros(size, np.uint8)).grey for size in ((90, 160, 3), (160, 90, 3)))
        assert backward_flow(previous, current).shape == (2, 512, 288)


class TestWindows:
    def test_sums_are_those_of_the_squares(self) -> None:
        maps = torch.rand(3, 9, 11)
        sums = window_sums(maps, torch.tensor([0, 2, 20]))
        torch.testing.assert_close(sums[0], maps[0])
        torch.testing.assert_close(sums[1, 4, 5], maps[1, 2:7, 3:8].sum())
        torch.testing.assert_close(sums[1, 0, 10], maps[1, :3, 8:].sum())
        torch.testing.assert_close(sums[2], maps[2].sum().expand(9, 11))

    def test_dilation(self) -> None:
        mask = torch.zeros(1, 9, 9, dtype=torch.bool)
        mask[0, 4, 4] = True
        assert dilate(mask, torch.tensor([2])).sum() == 25
        assert dilate(mask, torch.tensor([[1], [3]])).sum(dim=(1, 2, 3)).tolist() == [9, 49]

    def test_the_densest_cell(self) -> None:
        maps = torch.zeros(1, 20, 20)
        maps[0, 2, 2] = 1
        maps[0, 10:15, 12:17] = 0.9
        assert densest_cells(maps, torch.tensor([2])).tolist() == [[14, 12]]


def test_motion_prior() -> None:
    propagated = torch.zeros(2, 40, 60)
    propagated[0, 20, 30] = 0.9
    settings = Settings(search_radius_cells=1, search_radius_share=0.5)
    motion = MotionPrior.of(propagated, torch.tensor([16.0, 4.0]), torch.tensor([False, True]), settings)
    assert motion.propagated_mask.nonzero().tolist() == [[0, 20, 30]]
    assert motion.search_region.sum(dim=(1, 2)).tolist() == [7 * 7, 0]
    assert motion.background_ring[0].sum() == pytest.approx(13 * 13 - 0.9)
    assert motion.background_ring[0, 20, 30] == pytest.approx(0.1)


def test_every_cell_has_one_object() -> None:
    logits = torch.randn(3, 20, 30).round()  # with ties
    logits[1, :5] = float("nan")
    assert torch.equal(argmax_masks(logits), argmax_with_background([logits]) == torch.arange(1, 4)[:, None, None])


def test_objects_exclude_one_another() -> None:
    probabilities = softmax_with_background(torch.tensor([[[4.0, -9.0]], [[4.0, 5.0]]]))
    assert probabilities[:, 0, 0].tolist() == pytest.approx([0.4955, 0.4955], abs=1e-3)
    assert probabilities[1, 0, 1] > 0.99


def start(sam: Sam, image: np.ndarray, label_map: np.ndarray, method: str = "appearance") -> Tracker:
    """Tracker after the first frame."""
    tracker = Tracker(sam, method=method)
    tracker.step(image, label_map=label_map)
    return tracker


def lookalikes(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame and truth of two identical toys: the upper one moves to the right, the lower one to the left."""
    noise = np.random.default_rng(1).integers(60, 190, (9, 16, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(noise).resize((480, 270), Image.Resampling.BICUBIC))
    sprite = make_sprite("ladybird", 96, hue=0.0, rng=np.random.default_rng(2))
    label_map = np.zeros((270, 480), np.uint8)
    for object_id, left, top in ((1, 60 + 22 * index, 30), (2, 324 - 22 * index, 150)):
        box = np.s_[top : top + 96, left : left + 96]
        image[box] = over(image[box], sprite.rgb, np.repeat(sprite.alpha[..., None], 3, axis=2))
        label_map[box][sprite.alpha > 127] = object_id
    return image, label_map


def test_lookalikes_that_cross_keep_their_ids(sam: Sam) -> None:
    tracker = start(sam, *lookalikes(0))
    for index in range(1, 13):
        image, truth = lookalikes(index)
        result = tracker.step(image)
        for object_id in (1, 2):
            mask, wanted = result.mask(object_id), truth == object_id
            assert (mask & wanted).sum() / (mask | wanted).sum() > 0.7, (index, object_id)


def hidden(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame and truth of a toy that a grey box covers but for a part. From frame 4 on the whole toy is elsewhere, while
    the part remains where it was."""
    noise = np.random.default_rng(1).integers(60, 190, (9, 16, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(noise).resize((480, 270), Image.Resampling.BICUBIC))
    sprite = make_sprite("ladybird", 96, hue=0.0, rng=np.random.default_rng(2))
    label_map = np.zeros((270, 480), np.uint8)
    for left, shown in ((60, True), (320, index >= 4)):
        if shown:
            box = np.s_[80:176, left : left + 96]
            image[box] = over(image[box], sprite.rgb, np.repeat(sprite.alpha[..., None], 3, axis=2))
            label_map[:] = 0
            label_map[box][sprite.alpha > 127] = 1  # the whole toy
    if index:
        image[70:186, 90:170] = (90, 90, 110)
    return image, label_map


def test_an_object_is_found_elsewhere_though_a_part_of_it_remains(sam: Sam) -> None:
    tracker = start(sam, *hidden(0))
    for index in range(1, 7):
        image, truth = hidden(index)
        found = tracker.step(image).mask(1)
        if index == 3:
            assert found.any()  # the part
    assert region_similarity(found, truth == 1) > 0.8


def test_scores_estimate_the_iou(sam: Sam, demo_scene: DemoScene) -> None:
    tracker = start(sam, demo_scene.render(0)[0], demo_scene.label_map(0))
    for index in (1, 2, 3):
        image, truth = demo_scene.render(index)
        result = tracker.step(image)
        for i, score in result.scores.items():
            assert score == pytest.approx(region_similarity(result.label_map == i, truth == i), abs=0.15)


def test_the_mask_of_another_object_scores_low(sam: Sam, demo_scene: DemoScene) -> None:
    """After a jump by half the image's width, toys are found or not, but wrong masks have low scores."""
    image, truth = demo_scene.render(0)
    tracker = start(sam, image, truth)
    result = tracker.step(np.roll(image, 427, axis=1))
    moved = np.roll(truth, 427, axis=1)
    for i, score in result.scores.items():
        iou = region_similarity(result.label_map == i, moved == i)
        assert not result.visible[i] or score < iou + 0.2


@pytest.mark.weights
@pytest.mark.parametrize("method", ["appearance", "persam-f"])
def test_tracking_at_half_the_size(demo_scene: DemoScene, method: str) -> None:
    half = load_sam("vit_t", device="cpu", size=512, progress=False)
    tracker = start(half, demo_scene.render(0)[0], demo_scene.label_map(0), method)
    for index in (1, 2, 3):
        image, truth = demo_scene.render(index)
        found = tracker.step(image).label_map
        assert all(region_similarity(found == i, truth == i) > 0.75 for i in (1, 2, 3))

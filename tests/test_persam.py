"""The paper's equations on small tensors, and the scale weights."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from persam_video.methods.persam.guidance import build_guidance
from persam_video.methods.persam.location_prior import confidence_maps, to_low_res
from persam_video.methods.persam.prompts import BOX_MARGIN, prior_prompts
from persam_video.methods.persam.refinement import refine
from persam_video.methods.persam.scale_weights import (
    VIDEO_TOTAL_LR,
    aggregate_scales,
    dice_loss,
    fit_scale_weights,
    focal_loss,
)
from persam_video.methods.persam.target import Targets, extract_embeddings, foreground_cells
from persam_video.sam.boxes import argmax_cells, boxes_of_masks
from persam_video.sam.grids import Geometry
from persam_video.sam.image_encoder import Features
from persam_video.sam.mask_decoder import DecoderOutput
from persam_video.sam.prompt_encoder import NEGATIVE, NO_POINT, POSITIVE, Prompts
from persam_video.sam.two_way_transformer import Guidance
from persam_video.sam.window import Window

SQUARE = Geometry(1024, 1024)


def features(tensor: torch.Tensor | None = None, geometry: Geometry = SQUARE) -> Features:
    pixels = torch.zeros(geometry.height, geometry.width, 3, dtype=torch.uint8)
    tensor = torch.randn(1, 256, *geometry.grid(64)) if tensor is None else tensor
    return Features(tensor, Window.whole((geometry.height, geometry.width), geometry.side), pixels)


def rectangle(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = (1024, 1024)) -> torch.Tensor:
    mask = torch.zeros(1, *size, dtype=torch.bool)
    mask[:, top:bottom, left:right] = True
    return mask


class TestTarget:
    def test_the_confidence_map_of_one_local_feature_is_its_cosine_similarity(self) -> None:
        """Eq. 3 to 5, literally."""
        reference, frame = features(), features()
        embeddings, _ = extract_embeddings(reference, rectangle(160, 320, 176, 336))
        unit, other = F.normalize(reference.tensor[0], dim=0), F.normalize(frame.tensor[0], dim=0)
        expected = torch.einsum("c,chw->hw", unit[:, 10, 20], other)
        expected = F.interpolate(expected[None, None], size=256, mode="bilinear")[0]
        found = to_low_res(confidence_maps(frame, embeddings), frame.geometry)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)

    def test_the_embedding_is_half_the_mean_and_half_the_maximum(self) -> None:
        reference = features()
        embeddings, semantics = extract_embeddings(reference, rectangle(160, 320, 480, 640))
        local = reference.tensor[0, :, 10:30, 20:40].flatten(1)
        expected = local.mean(dim=1) / 2 + local.amax(dim=1) / 2
        torch.testing.assert_close(embeddings[0], expected / expected.norm())
        torch.testing.assert_close(semantics[0], local.mean(dim=1))

    def test_an_object_smaller_than_a_cell_gets_the_cell_it_covers_most(self) -> None:
        masks = torch.cat((rectangle(100, 203, 103, 206), rectangle(0, 0, 512, 512)))
        cells = foreground_cells(masks)
        assert cells[0].nonzero().tolist() == [[6, 12]]
        assert cells[1].sum() == 32 * 32
        assert all(each.isfinite().all() for each in extract_embeddings(features(), masks))

    def test_cells_covered_by_less_than_half_are_background(self) -> None:
        cells = foreground_cells(rectangle(0, 0, 16 + 7, 16))
        assert cells[0].nonzero().tolist() == [[0, 0]]
        assert foreground_cells(rectangle(0, 0, 16 + 8, 16))[0].sum() == 2


class TestLocationPrior:
    def test_the_positive_point_is_the_maximum_of_the_map(self) -> None:
        maps = torch.zeros(2, 256, 256)
        maps[0, 30, 70] = 1
        maps[1, 200, 5] = 1
        assert argmax_cells(maps).tolist() == [[70, 30], [5, 200]]


class TestPrompts:
    def test_boxes(self) -> None:
        masks = torch.zeros(2, 256, 256, dtype=torch.bool)
        masks[0, 10:20, 30:50] = True
        boxes, has_box = boxes_of_masks(masks)
        assert boxes[0].tolist() == [119.5, 39.5, 199.5, 79.5]
        assert has_box.tolist() == [True, False]

    def test_the_previous_box_is_grown_but_not_out_of_the_frame(self) -> None:
        boxes = torch.tensor([[100.0, 100.0, 200.0, 300.0], [4.0, 300.0, 1020.0, 570.0]])
        previous = (boxes, torch.tensor([True, True]))
        frame = features(geometry=Geometry(576, 1024))
        prompts = prior_prompts(torch.tensor([[10, 20], [0, 0]]), None, previous, None, frame)
        m = BOX_MARGIN
        assert prompts.boxes[0].tolist() == [100 - m, 100 - m, 200 + m, 300 + m]
        assert prompts.boxes[1].tolist() == [-0.5, 300 - m, 1023.5, 575.5]
        assert prompts.points[0].tolist() == [[41.5, 81.5], [150.0, 200.0]]
        assert (prompts.labels == POSITIVE).all()

    def test_an_absent_object_has_only_the_location_prior(self) -> None:
        absent = (torch.zeros(1, 4), torch.tensor([False]))
        prompts = prior_prompts(torch.tensor([[10, 20]]), None, absent, None, features())
        assert prompts.labels.tolist() == [[POSITIVE, NO_POINT]]
        assert prompts.has_box.tolist() == [False]

    def test_a_single_image_has_a_positive_and_a_negative_point(self) -> None:
        maps = torch.zeros(2, 256, 256)
        maps[0, 20, 10], maps[0, 200, 100] = 1, -1
        prompts = prior_prompts(argmax_cells(maps), argmax_cells(-maps), None, None, features())
        assert prompts.points[0].tolist() == [[41.5, 81.5], [401.5, 801.5]]
        assert prompts.labels.tolist() == [[POSITIVE, NEGATIVE]] * 2
        assert prompts.boxes is None


fit = partial(fit_scale_weights, total_lr=VIDEO_TOTAL_LR)


class TestScaleWeights:
    def scales(self, n: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of three scales, nested squares, for n objects, and the masks of the three."""
        cell = torch.arange(64)
        distance = torch.maximum((cell - 32).abs()[:, None], (cell - 32).abs()[None])
        masks = torch.stack([(distance <= half) for half in (24, 14, 6)])
        return (masks * 12.0 - 6.0).expand(n, 3, 64, 64).clone(), masks.float()

    def test_the_weighted_sum(self) -> None:
        logits = torch.randn(2, 3, 4, 5)
        weights = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
        out = aggregate_scales(logits, weights)
        torch.testing.assert_close(out[0], 0.2 * logits[0, 0] + 0.3 * logits[0, 1] + 0.5 * logits[0, 2])
        torch.testing.assert_close(out[1], logits[1, 0])

    @pytest.mark.parametrize("scale", [0, 1, 2])
    def test_the_scale_of_the_reference_mask_gains(self, scale: int) -> None:
        logits, masks = self.scales()
        weights = fit(logits, masks[scale][None], torch.ones(64, 64, dtype=torch.bool))
        assert weights.sum().item() == pytest.approx(1, abs=1e-6)
        assert weights[0].argmax() == scale
        mask = aggregate_scales(logits, weights)[0] > 0
        before = aggregate_scales(logits, torch.full((1, 3), 1 / 3))[0] > 0
        assert (mask != masks[scale].bool()).sum() <= (before != masks[scale].bool()).sum()

    def test_it_ends_where_the_published_800_steps_end(self) -> None:
        logits = torch.randn(1, 3, 32, 32) * 4
        mask = (logits[:, 1] + torch.randn(1, 32, 32) > 0).float()
        learned = torch.full((2,), 1 / 3, requires_grad=True)
        optimiser = torch.optim.AdamW([learned], lr=4e-4, eps=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 800)
        for _ in range(800):
            weights = torch.stack((1 - learned.sum(), learned[0], learned[1]))
            out = aggregate_scales(logits, weights[None]).flatten(1)
            loss = (dice_loss(out, mask.flatten(1)) + focal_loss(out, mask.flatten(1))).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        ours = fit(logits, mask, torch.ones(32, 32, dtype=torch.bool))
        assert (learned.detach() - 1 / 3).abs().max() > 0.05
        torch.testing.assert_close(ours[0, 1:], learned.detach(), atol=0.01, rtol=0)

    def test_objects_are_independent(self) -> None:
        logits, masks = self.scales(3)
        valid = torch.ones(64, 64, dtype=torch.bool)
        together = fit(logits, masks, valid)
        for i in range(3):
            torch.testing.assert_close(together[i], fit(logits[:1], masks[i : i + 1], valid)[0])

    def test_invalid_cells_are_ignored(self) -> None:
        logits, masks = self.scales()
        valid = torch.ones(64, 64, dtype=torch.bool)
        valid[40:] = False
        expected = fit(logits, masks[1:2], valid)
        logits[:, :, 40:] = 50
        torch.testing.assert_close(fit(logits, masks[1:2], valid), expected)

    def test_dice(self) -> None:
        mask = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
        assert dice_loss(mask * 200 - 100, mask).item() == pytest.approx(0)
        assert dice_loss(100 - mask * 200, mask).item() == pytest.approx(1 - 1 / 5)

    def test_focal(self) -> None:
        p = 0.7
        logit = torch.tensor([[math.log(p / (1 - p))] * 2])
        loss = focal_loss(logit, torch.tensor([[1.0, 0.0]])).item()
        expected = (-0.25 * (1 - p) ** 2 * math.log(p) - 0.75 * p**2 * math.log(1 - p)) / 2
        assert loss == pytest.approx(expected, rel=1e-5)


class TestRefinement:
    def test_two_steps_with_the_mask_and_its_box(self) -> None:
        """Each step is prompted with the previous logits and their box; the highest predicted IoU selects the mask."""
        calls: list[Prompts] = []

        def decode(_: Features, prompts: Prompts) -> DecoderOutput:
            calls.append(prompts)
            logits = torch.full((1, 3, 256, 256), -1.0)
            logits[0, 1, 40 * len(calls) : 100, 40:100] = 1
            return DecoderOutput(
                logits, torch.tensor([[0.1, 0.7 + 0.1 * len(calls), 0.2]]), logits[:, 0], torch.zeros(1)
            )

        start = torch.full((1, 256, 256), -1.0)
        start[0, 10:20, 30:60] = 1
        absent = (torch.zeros(1, 4), torch.tensor([False]))
        guidance = Guidance(semantics=torch.zeros(1, 256))
        prompts = prior_prompts(torch.tensor([[5, 5]]), None, absent, guidance, features())
        logits, scores = refine(decode, features(), prompts, start)
        assert len(calls) == 2
        assert calls[0].boxes.tolist() == [[119.5, 39.5, 239.5, 79.5]]
        assert torch.equal(calls[0].masks, start)
        assert calls[1].boxes.tolist() == [[159.5, 159.5, 399.5, 399.5]]
        assert all(torch.equal(each.points, prompts.points) for each in calls)
        assert all(each.guidance is None for each in calls)
        assert scores.item() == pytest.approx(0.9)
        assert (logits > 0).sum() == 20 * 60

        calls.clear()
        refine(decode, features(), prior_prompts(torch.tensor([[5, 5]]), None, None, None, features()), start)
        assert calls[0].boxes is None  # a single image: first the mask, then the box too
        assert calls[1].boxes.tolist() == [[159.5, 159.5, 399.5, 399.5]]


class TestGuidance:
    def test_attention_bias_is_the_sigmoid_of_the_standardised_map(self) -> None:
        maps = torch.tensor([[[0.1, 0.1, 0.1, 0.9]], [[0.5, 0.5, 0.5, 0.5]]])
        guidance = build_guidance(maps, None)
        assert guidance is not None and guidance.attention is not None and guidance.semantics is None
        # mean .3, deviation .4: sigmoid of -.5 and of 1.5
        expected = torch.tensor([[0.37754, 0.37754, 0.37754, 0.81757]])
        torch.testing.assert_close(guidance.attention[0], expected, atol=1e-4, rtol=0)
        assert (guidance.attention[1] == 0.5).all()  # a flat map

    def test_none(self) -> None:
        assert build_guidance(None, None) is None


class TestTargets:
    def targets(self, *values: float) -> Targets:
        column = torch.tensor(values)[:, None]
        return Targets(F.normalize(column.expand(-1, 256), dim=1), column.expand(-1, 256), column.expand(-1, 3))

    def test_join_and_pool(self) -> None:
        joined = Targets.concatenate((Targets.empty(torch.device("cpu")), self.targets(1.0), self.targets(2.0, 3.0)))
        assert joined.semantics[:, 0].tolist() == [1, 2, 3]
        pooled = Targets.pool((self.targets(1.0, 2.0), self.targets(3.0, 6.0)))
        assert pooled.semantics[:, 0].tolist() == [2, 4]
        assert pooled.scale_weights[:, 2].tolist() == [2, 4]
        torch.testing.assert_close(pooled.embeddings.norm(dim=1), torch.ones(2))

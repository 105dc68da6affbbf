"""Prompt encoder against ``segment_anything``'s own."""

from __future__ import annotations

import pytest
import torch
from segment_anything.modeling import PromptEncoder as SamPromptEncoder

from persam_video.sam.prompt_encoder import NEGATIVE, NO_POINT, POSITIVE, PromptEncoder, Prompts


@pytest.fixture(scope="module")
def sam_prompt_encoder() -> SamPromptEncoder:
    torch.manual_seed(0)
    return SamPromptEncoder(256, (64, 64), (1024, 1024), 16).requires_grad_(False)


POINTS = torch.rand(3, 4, 2) * 1000
LABELS = torch.tensor([[POSITIVE, NEGATIVE, NO_POINT, POSITIVE]] * 3)
BOXES = torch.tensor([[10.0, 20, 300, 400]] * 3)


def test_points_alone(sam_prompt_encoder: SamPromptEncoder) -> None:
    tokens, dense = PromptEncoder(sam_prompt_encoder)(Prompts(POINTS, LABELS))
    expected, square = sam_prompt_encoder((POINTS, LABELS), None, None)
    torch.testing.assert_close(tokens, expected)
    assert torch.equal(dense.expand_as(square), square)


def test_points_boxes_and_masks(sam_prompt_encoder: SamPromptEncoder) -> None:
    masks = torch.randn(3, 144, 256)
    everyone = torch.ones(3, dtype=torch.bool)
    tokens, dense = PromptEncoder(sam_prompt_encoder)(Prompts(POINTS, LABELS, BOXES, everyone, masks))
    expected, expected_dense = sam_prompt_encoder((POINTS, LABELS), BOXES, masks[:, None])
    torch.testing.assert_close(tokens, expected)
    assert torch.equal(dense, expected_dense)


def test_an_object_without_a_box_has_tokens_for_no_point(sam_prompt_encoder: SamPromptEncoder) -> None:
    tokens, _ = PromptEncoder(sam_prompt_encoder)(Prompts(POINTS, LABELS, BOXES, torch.tensor([True, False, True])))
    boxed, _ = sam_prompt_encoder((POINTS, LABELS), BOXES, None)
    nothing = torch.full((3, 2, 2), 7.0), torch.full((3, 2), NO_POINT)
    points, labels = (torch.cat(both, dim=1) for both in zip((POINTS, LABELS), nothing, strict=True))
    without = sam_prompt_encoder((points, labels), None, None)[0][:, :-1]  # SAM adds one more where there is no box
    torch.testing.assert_close(tokens[0::2], boxed[0::2])
    torch.testing.assert_close(tokens[1], without[1])

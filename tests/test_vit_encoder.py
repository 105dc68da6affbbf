"""The encoder of ViT-B/L/H against ``segment_anything``'s own, and the padding to SAM's square."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT
from torch.nn.attention import SDPBackend, sdpa_kernel

from persam_video import ModelOptions, Sam, load_sam
from persam_video.sam.grids import to_input
from persam_video.sam.image_encoder import ImageEncoder
from persam_video.sam.inference_layers import replace_layer_norm2d
from persam_video.sam.models import build_network, sam_from_network
from persam_video.sam.tiny_vit_encoder import TinyVitEncoder
from persam_video.sam.vit_encoder import VitEncoder

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")),
]
SIZES = [(576, 1024), (1024, 768), (528, 1024), (16, 1024)]


def with_positions(encoder: ImageEncoderViT) -> ImageEncoderViT:
    """The encoder, frozen, with random position embeddings: segment_anything initialises them with zeros."""
    torch.nn.init.normal_(encoder.pos_embed, std=0.5)
    for block in encoder.blocks:
        torch.nn.init.normal_(block.attn.rel_pos_h, std=0.5)
        torch.nn.init.normal_(block.attn.rel_pos_w, std=0.5)
        torch.nn.init.normal_(block.attn.qkv.bias, std=0.5)  # the qkv of the padding of windows
    return encoder.eval().requires_grad_(False)


def small_vit(*, heads: int = 2) -> ImageEncoderViT:
    """Two layers of SAM's ViT, one in windows and one over the grid, with heads of 32 or 20."""
    return with_positions(
        ImageEncoderViT(
            embed_dim={2: 64, 3: 60}[heads],
            depth=2,
            num_heads=heads,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=(1,),
        )
    )


def bias(q: torch.Tensor, along_rows: torch.Tensor, along_columns: torch.Tensor) -> torch.Tensor:
    """Relative position bias of attention, from the definition; q is B×heads×rows×columns×size."""
    rows, columns = q.shape[2:4]
    centres = [len(table) // 2 for table in (along_rows, along_columns)]
    by_row = torch.stack([along_rows[centres[0] + i - torch.arange(rows)] for i in range(rows)])
    by_column = torch.stack([along_columns[centres[1] + j - torch.arange(columns)] for j in range(columns)])
    h = (q[..., None, :] * by_row[:, None]).sum(-1)  # [B, heads, rows, columns, rows]
    w = (q[..., None, :] * by_column).sum(-1)
    return (h[..., :, None] + w[..., None, :]).flatten(4, 5).flatten(2, 3)


def reference(encoder: ImageEncoderViT, pixels: torch.Tensor) -> torch.Tensor:
    """Plain implementation of the encoder on a part of the square: a bias for all pairs, one window after another."""
    x = encoder.patch_embed(pixels)
    height, width = x.shape[1:3]
    x = x + encoder.pos_embed[:, :height, :width]
    for block in encoder.blocks:
        y = block.norm1(x)
        rows, columns = (block.window_size,) * 2 if block.window_size else (height, width)
        y = F.pad(y, (0, 0, 0, -width % columns, 0, -height % rows))
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                window = y[:, top : top + rows, left : left + columns]
                heads = block.attn.num_heads
                qkv = block.attn.qkv(window).reshape(len(x), rows, columns, 3, heads, -1)
                q, k, v = qkv.permute(3, 0, 4, 1, 2, 5)
                logits = q.flatten(2, 3) @ k.flatten(2, 3).mT * q.shape[-1] ** -0.5
                logits = logits + bias(q, block.attn.rel_pos_h, block.attn.rel_pos_w)
                out = (logits.softmax(-1) @ v.flatten(2, 3)).transpose(1, 2).reshape(window.shape)
                y[:, top : top + rows, left : left + columns] = block.attn.proj(out)
        x = x + y[:, :height, :width]
        x = x + block.mlp(block.norm2(x))
    return encoder.neck(x.permute(0, 3, 1, 2))


def error(ours: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the largest number."""
    assert ours.shape == expected.shape
    assert ours.dtype == expected.dtype
    return ((ours - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture
def exact_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions too in full fp32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.usefixtures("exact_cuda")
@pytest.mark.parametrize("device", DEVICES)
class TestEquality:
    @pytest.mark.parametrize("heads", [2, 3])
    def test_the_square_is_encoded_as_segment_anything_does(self, device: str, heads: int) -> None:
        encoder = small_vit(heads=heads).to(device)
        pixels = torch.randn(1, 3, 1024, 1024, device=device)
        assert error(VitEncoder(encoder)(pixels), encoder(pixels)) < 1e-4

    def test_positions_matter(self, device: str) -> None:
        """Otherwise the other tests would pass without them."""
        encoder = small_vit().to(device)
        pixels = torch.randn(1, 3, 1024, 1024, device=device)
        before = encoder(pixels)
        for name in ("rel_pos_h", "rel_pos_w"):
            for block in encoder.blocks:
                kept = getattr(block.attn, name).clone()
                getattr(block.attn, name).zero_()
                assert error(encoder(pixels), before) > 1e-2
                getattr(block.attn, name).copy_(kept)

    @pytest.mark.parametrize("size", SIZES)
    def test_a_part_of_the_square(self, device: str, size: tuple[int, int]) -> None:
        encoder = small_vit().to(device)
        pixels = torch.randn(1, 3, *size, device=device)
        ours = VitEncoder(encoder)(pixels)
        assert ours.shape == (1, 256, size[0] // 16, size[1] // 16)
        assert error(ours, reference(encoder, pixels)) < 1e-4

    def test_a_batch_is_encoded_as_each_image_alone(self, device: str) -> None:
        encoder = VitEncoder(small_vit().to(device))
        pixels = torch.randn(3, 3, 144, 256, device=device)
        for alone, together in zip(pixels.split(1), encoder(pixels).split(1), strict=True):
            assert error(together, encoder(alone)) < 1e-4

    @pytest.mark.parametrize("size", [(576, 1024), (1024, 1024)])
    def test_bf16(self, device: str, size: tuple[int, int]) -> None:
        encoder = small_vit().to(device)
        pixels = torch.randn(1, 3, *size, device=device)
        expected = encoder(pixels) if size == (1024, 1024) else reference(encoder, pixels)
        quick = VitEncoder(encoder)
        replace_layer_norm2d(quick)
        with torch.autocast(device, torch.bfloat16):
            ours = quick(pixels)
        assert ours.dtype == torch.float32
        assert 1e-5 < (ours - expected).norm() / expected.norm() < 2e-2


class TestVitEncoder:
    def test_the_references_square_is_segment_anythings(self) -> None:
        encoder = small_vit()
        pixels = torch.randn(1, 3, 1024, 1024)
        assert error(reference(encoder, pixels), encoder(pixels)) < 1e-4

    def test_vit_b(self) -> None:
        encoder = with_positions(sam_model_registry["vit_b"]().image_encoder)
        pixels = torch.randn(1, 3, 1024, 1024)
        encoder.blocks = encoder.blocks[1:3]  # one in windows, one over the grid: twelve take half a minute
        assert [block.window_size for block in encoder.blocks] == [14, 0]
        assert error(VitEncoder(encoder)(pixels), encoder(pixels)) < 1e-4

    def test_parameters_are_shared(self) -> None:
        encoder = small_vit()
        theirs = {id(parameter) for parameter in encoder.parameters()}
        assert {id(parameter) for parameter in VitEncoder(encoder).parameters()} == theirs

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_attention_can_use_fused_kernels(self, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
        """Flash attention: no bias, one dtype, heads of one size, a multiple of 8 and at most 256."""
        calls = []

        def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, scale: float) -> torch.Tensor:
            calls.append((q, k, v))
            return fused(q, k, v, scale=scale)

        fused = F.scaled_dot_product_attention
        monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
        encoder = with_positions(sam_model_registry["vit_b"]().image_encoder)
        encoder.blocks = encoder.blocks[1:3]
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            ours = VitEncoder(encoder)
            ours(torch.randn(1, 3, 576, 1024))
        windowed, whole = calls
        assert {each.shape for each in windowed} == {(15, 12, 196, 96)}
        assert {each.shape for each in whole} == {(1, 12, 36 * 64, 168)}
        assert {each.dtype for call in calls for each in call} == {dtype}
        cached = [positions for block in ours.blocks for positions in block.attn._cache.values()]
        assert [{each.dtype for each in positions} for positions in cached] == [{dtype}] * 2  # not cast in every layer

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
    def test_flash_attention_applies_on_cuda(self) -> None:
        encoder = VitEncoder(small_vit(heads=3).cuda())
        with torch.autocast("cuda", torch.bfloat16), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            encoder(torch.randn(1, 3, 576, 1024, device="cuda"))

    def test_relative_positions_are_made_once_for_each_size_and_few_are_cached(self) -> None:
        encoder = VitEncoder(small_vit())
        attention = encoder.blocks[1].attn
        first = encoder(torch.ones(1, 3, 64, 64))
        cached = attention._cache[4, 4, torch.float32, CPU]
        assert torch.equal(encoder(torch.ones(1, 3, 64, 64)), first)
        assert attention._cache[4, 4, torch.float32, CPU] is cached
        for rows in range(1, 21):
            encoder(torch.ones(1, 3, 16 * rows, 64))
        assert [key[0] for key in attention._cache] == [*range(5, 21)]
        assert len(encoder.blocks[0].attn._cache) == 1


class TestExactPadding:
    @pytest.fixture(params=["vit_t", "small ViT"])
    def encoders(self, request: pytest.FixtureRequest) -> tuple[torch.nn.Module, torch.nn.Module]:
        """An encoder as built, and prepared for inference by `sam_from_network`."""
        network, as_made = build_network("vit_t"), TinyVitEncoder().eval()
        as_made.load_state_dict(network.image_encoder.state_dict())
        if request.param != "vit_t":
            as_made = network.image_encoder = small_vit()
        sam = sam_from_network(network, ModelOptions("vit_t"), device=CPU, dtype=torch.float32)
        return as_made, cast(Any, sam.encode)._network

    @pytest.mark.parametrize("size", [(90, 160), (160, 120), (64, 64)])
    def test_the_features_are_those_of_sams_square(
        self, encoders: tuple[torch.nn.Module, torch.nn.Module], size: tuple[int, int]
    ) -> None:
        as_made, ready = encoders
        image = torch.randint(256, (*size, 3), dtype=torch.uint8)
        pixels = to_input(image[None])
        with torch.no_grad():
            square = as_made(F.pad(pixels, (0, 1024 - pixels.shape[3], 0, 1024 - pixels.shape[2])))
        rows, columns = (side // 16 for side in pixels.shape[2:])
        exact = ImageEncoder(ready, device=CPU, dtype=torch.float32, exact_padding=True)(image.numpy())
        assert exact.tensor.shape == (1, 256, rows, columns)
        assert error(exact.tensor, square[:, :, :rows, :columns]) < 1e-4
        default = ImageEncoder(ready, device=CPU, dtype=torch.float32)(image.numpy())
        assert default.tensor.shape == exact.tensor.shape
        assert (error(default.tensor, exact.tensor) < 1e-4) == (size[0] == size[1])

    def test_load_sam_passes_the_option_on(self, sam: Sam) -> None:
        exact = load_sam("vit_t", checkpoint=sam.checkpoint, device="cpu", exact_padding=True)
        image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
        assert isinstance(sam.checkpoint, Path)
        difference = error(exact.encode(image).tensor, sam.encode(image).tensor)
        assert 1e-3 < difference < 1

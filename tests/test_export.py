"""Results in other formats, read back by the programs that they are for, and ``persam-export``."""

from __future__ import annotations

import csv
import json
import os
import sys
import xml.etree.ElementTree
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import av
import cv2
import numpy as np
import pandas
import PIL.Image
import psutil
import pycocotools.coco
import pycocotools.mask
import pytest
import supervision
import video_files
from results_data import ABSENT, FRAMES, HEIGHT, NAMES, WIDTH, truth_of, write_clip, write_results

from persam_video import (
    InputError,
    MaskOutput,
    OutputError,
    VideoWriter,
    load_results,
    open_video,
    read_palette_png,
    write_palette_png,
)
from persam_video.cli.export import main
from persam_video.outputs.background import BackgroundOutput, HiddenOutput
from persam_video.outputs.coco import CocoOutput
from persam_video.outputs.crops import CropOutput, CropVideoOutput
from persam_video.outputs.cutout import CutoutOutput, CutoutVideoOutput
from persam_video.outputs.export import export, open_results
from persam_video.outputs.formats import FORMATS, FormatOptions, formats_of
from persam_video.outputs.label_studio import brush_runs
from persam_video.outputs.polygons import centre_polygons, edge_polygons

IDS = {"dog": 1, NAMES[7]: 7, "object 12": 12}
LABEL_FORMATS = "coco,coco-polygons,yolo,mots,cvat,labelstudio,csv,masks,images"


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("record"))


@pytest.fixture(scope="module")
def exported(record: Path) -> Path:
    """Folder of all label formats of the record, written by the command."""
    out = record.with_name("exported")
    assert main([str(record), "--to", LABEL_FORMATS, "--out", str(out), "--quiet"]) == 0
    return out


def iou(first: np.ndarray, second: np.ndarray) -> float:
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 1.0


def expected() -> set[tuple[int, int]]:
    """Frames and ids of all visible objects."""
    return {(index, int(i)) for index in range(FRAMES) for i in np.unique(truth_of(index)) if i}


class TestCoco:
    @pytest.mark.parametrize(("name", "least"), [("coco", 1.0), ("coco_polygons", 0.98)])
    def test_pycocotools_reads_it(self, exported: Path, name: str, least: float) -> None:
        coco = pycocotools.coco.COCO(exported / f"{name}.json")
        assert {each["name"] for each in coco.cats.values()} == set(IDS)
        assert [each["file_name"] for each in coco.loadImgs(coco.getImgIds())] == [
            f"{i:05d}.jpg" for i in range(FRAMES)
        ]
        seen = set()
        for entry in coco.loadAnns(coco.getAnnIds()):
            index, i = coco.imgs[entry["image_id"]]["frame_index"], entry["track_id"]
            assert IDS[coco.cats[entry["category_id"]]["name"]] == i
            mask = truth_of(index) == i
            assert iou(coco.annToMask(entry) > 0, mask) >= least
            assert entry["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            size = [np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert entry["bbox"] == [columns.min(), rows.min(), *size]
            seen.add((index, i))
        assert seen == expected()

    def test_our_own_reader_takes_the_first_frame(self, exported: Path, record: Path) -> None:
        """It can be given as --first-coco again, with the names."""
        from persam_video import read_coco

        found = read_coco(exported / "coco.json", "00000", width=WIDTH, height=HEIGHT)
        assert list(found.names.values()) == list(NAMES.values())
        assert np.array_equal(found.label_map > 0, truth_of(0) > 0)


class TestYolo:
    def test_supervision_reads_it(self, exported: Path) -> None:
        folder = exported / "yolo"
        dataset = supervision.DetectionDataset.from_yolo(
            str(folder / "images/train"), str(folder / "labels/train"), str(folder / "data.yaml"), force_masks=True
        )
        assert set(dataset.classes) == set(IDS)
        seen = set()
        for name, _, detections in dataset:
            index = int(Path(name).stem)
            assert detections.mask is not None and detections.class_id is not None
            for number in set(detections.class_id):
                i = IDS[dataset.classes[number]]
                # Parts that lie apart may have lines of their own.
                mask = np.any(
                    [m for m, c in zip(detections.mask, detections.class_id, strict=True) if c == number], axis=0
                )
                assert iou(mask, truth_of(index) == i) >= 0.98
                seen.add((index, i))
        assert seen == expected()

    def test_every_frame_has_an_image_and_a_label_file(self, exported: Path) -> None:
        for kind, suffix in (("images", "jpg"), ("labels", "txt")):
            files = sorted((exported / "yolo" / kind / "train").iterdir())
            assert [each.name for each in files] == [f"{i:05d}.{suffix}" for i in range(FRAMES)]

    def test_coordinates_are_the_same_cut_or_rounded(self) -> None:
        label_map = truth_of(2)
        for i in (1, 7, 12):
            for polygon in centre_polygons(label_map, i):
                assert (np.floor(polygon) == np.rint(polygon)).all()


@pytest.mark.parametrize("seed", range(40))
def test_polygons_of_any_mask(seed: int) -> None:
    """Parts, holes, thin lines and single pixels: masks come back, by both kinds of polygons."""
    rng = np.random.default_rng(seed)
    label_map = np.zeros((60, 80), np.uint8)
    for _ in range(rng.integers(1, 4)):
        x, y, a, b = (int(each) for each in rng.integers((0, 0, 1, 1), (80, 60, 25, 25)))
        cv2.ellipse(label_map, (x, y), (a, b), int(rng.integers(180)), 0, 360, 5, -1)
    for _ in range(rng.integers(4)):
        x, y, radius = (int(each) for each in rng.integers((0, 0, 1), (80, 60, 8)))
        cv2.circle(label_map, (x, y), radius, 0, -1)
    label_map[rng.integers(60), rng.integers(80)] = 5
    mask = label_map == 5
    encoded = pycocotools.mask.frPyObjects([each.ravel().tolist() for each in edge_polygons(label_map, 5)], 60, 80)
    assert iou(pycocotools.mask.decode(pycocotools.mask.merge(encoded)) > 0, mask) >= 0.98
    drawn = np.zeros_like(label_map)
    for polygon in centre_polygons(label_map, 5):
        part = np.zeros_like(label_map)
        cv2.fillPoly(part, [polygon.astype(np.int32)], 1)
        drawn |= part
    assert iou(drawn > 0, mask) >= 0.98


class TestMots:
    def test_kitti_mots(self, exported: Path) -> None:
        """As mots_tools reads them: PNGs of 16 bits, and lines with run lengths."""
        classes = dict(line.split(" ", 1) for line in (exported / "mots/classes.txt").read_text().splitlines())
        seen = set()
        for line in (exported / "mots/instances.txt").read_text().splitlines():
            index, number, class_id, height, width, counts = line.split(" ")
            i = int(number) % 1000
            assert int(number) // 1000 == int(class_id)
            assert IDS[classes[class_id]] == i
            mask = pycocotools.mask.decode({"size": [int(height), int(width)], "counts": counts.encode()}) > 0
            assert np.array_equal(mask, truth_of(int(index)) == i)
            png = np.array(PIL.Image.open(exported / f"mots/instances/{int(index):06d}.png"))
            assert np.array_equal(png == int(number), mask)
            seen.add((int(index), i))
        assert seen == expected()

    def test_motchallenge_counts_from_1(self, exported: Path) -> None:
        rows = [line.split(",") for line in (exported / "mots/boxes.txt").read_text().splitlines()]
        assert {(int(row[0]) - 1, int(row[1])) for row in rows} == expected()
        frame, i, x, y, width, height = (int(each) for each in rows[0][:6])
        rows_of, columns_of = np.nonzero(truth_of(frame - 1) == i)
        assert (x - 1, y - 1) == (columns_of.min(), rows_of.min())
        assert (width, height) == (np.ptp(columns_of) + 1, np.ptp(rows_of) + 1)


def test_cvat(exported: Path) -> None:
    """By the documentation of "CVAT for images 1.1": runs along the rows of a box, beginning with background."""
    root = xml.etree.ElementTree.parse(exported / "cvat.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert {each.text for each in root.iterfind("meta/task/labels/label/name")} == set(IDS)
    seen = set()
    for image in root.iterfind("image"):
        index = int(image.attrib["id"])
        assert image.attrib["name"] == f"frame_{index:06d}"
        for mask in image.iterfind("mask"):
            left, top, width, height = (int(mask.attrib[name]) for name in ("left", "top", "width", "height"))
            runs = [int(each) for each in mask.attrib["rle"].split(",")]
            drawn = np.zeros((HEIGHT, WIDTH), bool)
            drawn[top : top + height, left : left + width] = np.repeat(np.arange(len(runs)) % 2 > 0, runs).reshape(
                height, width
            )
            i = int(mask.attrib["group_id"])
            assert IDS[mask.attrib["label"]] == i
            assert np.array_equal(drawn, truth_of(index) == i)
            seen.add((index, i))
    assert seen == expected()


class TestLabelStudio:
    @staticmethod
    def decoded(runs: list[int]) -> np.ndarray:
        """Values of runs as Label Studio's converter reads them (``label_studio_sdk.converter.brush.decode_rle``)."""
        bits = "".join(f"{each:08b}" for each in runs)
        position = 0

        def read(count: int) -> int:
            nonlocal position
            position += count
            return int(bits[position - count : position], 2)

        number, word = read(32), read(5) + 1
        sizes = [read(4) + 1 for _ in range(4)]
        values: list[int] = []
        while len(values) < number:
            is_run, length = read(1), read(sizes[read(2)]) + 1
            values += [read(word)] * length if is_run else [read(word) for _ in range(length)]
        return np.array(values, np.uint8)

    def test_masks_come_back(self, exported: Path) -> None:
        tasks = json.loads((exported / "labelstudio/tasks.json").read_text(encoding="utf-8"))
        seen = set()
        for task in tasks:
            index = task["data"]["frame"]
            assert (exported / "labelstudio" / unquote(task["data"]["image"].partition("?d=")[2])).is_file()
            for region in task["predictions"][0]["result"]:
                value = region["value"]
                i = IDS[value["brushlabels"][0]]
                assert region["meta"]["text"] == [f"object {i}"]
                rgba = self.decoded(value["rle"]).reshape(region["original_height"], region["original_width"], 4)
                assert np.array_equal(rgba[..., 3] > 0, truth_of(index) == i)
                seen.add((index, i))
        assert seen == expected()

    def test_runs_of_every_length(self) -> None:
        rng = np.random.default_rng(0)
        for share in (0.0, 0.01, 0.5, 1.0):
            mask = rng.random((150, 200)) < share
            mask[100:] = True
            assert np.array_equal(self.decoded(brush_runs(mask)).reshape(-1, 4)[:, 0].reshape(mask.shape) > 0, mask)


def test_csv(exported: Path) -> None:
    table = pandas.read_csv(exported / "objects.csv")
    assert list(table.columns) == [
        "frame",
        "seconds",
        "id",
        "name",
        "score",
        "visible",
        "x",
        "y",
        "w",
        "h",
        "area",
        "cx",
        "cy",
    ]
    assert len(table) == 3 * FRAMES - 1
    assert set(map(tuple, table[table.visible == 1][["frame", "id"]].to_numpy())) == expected()
    row = table[(table.frame == 2) & (table.id == 7)].iloc[0]
    rows, columns = np.nonzero(truth_of(2) == 7)
    assert (row["name"], row.score, row.area) == (NAMES[7], 0.5, len(rows))
    assert (row.cx, row.cy) == (
        pytest.approx(columns.mean() + 0.5, abs=0.01),
        pytest.approx(rows.mean() + 0.5, abs=0.01),
    )
    absent = table[(table.frame == ABSENT[0]) & (table.id == 7)].iloc[0]
    assert absent.visible == 0 and np.isnan(absent.x) and absent.score == 0


def test_masks_and_images(exported: Path, record: Path) -> None:
    with open_video(record.with_name("clip.mp4")) as reader:
        for frame in reader:
            mask = read_palette_png(exported / "masks" / f"{frame.name}.png")
            assert np.array_equal(mask, truth_of(frame.index))
            image = np.array(PIL.Image.open(exported / "images" / f"{frame.name}.jpg"))
            assert np.abs(image.astype(int) - frame.image).mean() < 6


def test_a_folder_of_masks_gives_the_same_labels(exported: Path, record: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"1": "dog", "7": NAMES[7]}), encoding="utf-8")
    arguments = [str(exported / "masks"), "--to", "coco,cvat,mots,csv", "--names", str(names), "--quiet"]
    assert main([*arguments, "--out", str(tmp_path / "a")]) == 0
    assert main([*arguments, "--out", str(tmp_path / "b"), "--video", str(record.with_name("clip.mp4"))]) == 0
    wanted = json.loads((exported / "coco.json").read_text(encoding="utf-8"))
    for folder in ("a", "b"):
        found = json.loads((tmp_path / folder / "coco.json").read_text(encoding="utf-8"))
        assert [each["segmentation"] for each in found["annotations"]] == [
            each["segmentation"] for each in wanted["annotations"]
        ]
        assert found["categories"] == wanted["categories"]
    assert (tmp_path / "b/cvat.xml").read_text() == (exported / "cvat.xml").read_text()
    seconds = [row["seconds"] for row in csv.DictReader((tmp_path / "b/objects.csv").open())]
    assert seconds[-1] == str(7 / 24)


class TestPictures:
    @pytest.fixture
    def results(self, record: Path) -> Any:
        return load_results(record)

    @staticmethod
    def frames(path: Path, format: str = "rgb24", decoder: str | None = None) -> list[np.ndarray]:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            codec = stream.codec_context if decoder is None else av.CodecContext.create(decoder, "r")
            decoded = [
                frame for packet in container.demux(stream) for frame in codec.decode(packet if packet.size else None)
            ]
            return [frame.to_ndarray(format=format) for frame in decoded]

    def test_cutouts(self, results: Any, tmp_path: Path) -> None:
        outputs = [
            CutoutOutput(tmp_path / "png"),
            CutoutVideoOutput(tmp_path / "c.mov"),
            CutoutVideoOutput(tmp_path / "c.webm"),
            CutoutOutput(tmp_path / "one", objects=[7]),
        ]
        assert export(results, outputs) == FRAMES
        pictures = [np.array(PIL.Image.open(tmp_path / "png" / f"{i:05d}.png")) for i in range(FRAMES)]
        for index, picture in enumerate(pictures):
            truth = truth_of(index) > 0
            assert picture.shape == (HEIGHT, WIDTH, 4)
            assert iou(picture[..., 3] > 127, truth) > 0.95
            inside = cv2.erode(truth.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            assert (picture[inside][:, 3] == 255).all()
            outside = cv2.dilate(truth.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
            assert not picture[outside].any()
        mov = self.frames(tmp_path / "c.mov", "rgba")
        webm = self.frames(tmp_path / "c.webm", "rgba", "libvpx-vp9")
        for decoded in (mov, webm):
            assert len(decoded) == FRAMES
            for found, picture in zip(decoded, pictures, strict=True):
                assert np.abs(found[..., 3].astype(int) - picture[..., 3]).mean() < 2
        absent = np.array(PIL.Image.open(tmp_path / f"one/{ABSENT[0]:05d}.png"))
        assert not absent.any()

    def test_backgrounds(self, results: Any, tmp_path: Path) -> None:
        PIL.Image.new("RGB", (50, 50), (10, 20, 200)).save(tmp_path / "sky.png")
        with VideoWriter(
            tmp_path / "v.mp4", width=64, height=64, time_base=Fraction(1, 24), frame_rate=Fraction(24)
        ) as v:
            for index in range(3):
                v.write(np.full((64, 64, 3), 80 * index, np.uint8), index)
        backgrounds = ["#00ff00", tmp_path / "sky.png", tmp_path / "v.mp4", "grey", "blur"]
        outputs = [BackgroundOutput(tmp_path / f"{n}.mp4", each) for n, each in enumerate(backgrounds)]
        export(results, outputs)
        originals = [result.frame.image for result in results]
        green, sky, video, grey, blur = (self.frames(each.path) for each in outputs)
        corner, object_point = (88, 60), (58, 38)  # row and column; the latter inside object 1 in frame 2
        assert truth_of(2)[object_point] == 1 and truth_of(2)[corner] == 0
        for frames in (green, sky, video, grey, blur):
            assert np.abs(frames[2][object_point].astype(int) - originals[2][object_point]).max() < 12
        assert np.abs(green[2][corner].astype(int) - (0, 255, 0)).max() < 30
        assert np.abs(sky[2][corner].astype(int) - (10, 20, 200)).max() < 30
        assert [round(float(frame[corner].mean()) / 80) for frame in video[:5]] == [0, 1, 2, 0, 1]
        assert np.ptp(grey[2][corner].astype(int)) < 8
        assert np.abs(blur[2][corner].astype(int) - originals[2][corner]).max() < 40
        # Objects do not run into their blurred background.
        near = (60, 15)
        assert truth_of(2)[near] == 0
        assert np.abs(blur[2][near].astype(int) - originals[2][near]).max() < 40

    def test_hidden_objects(self, results: Any, tmp_path: Path) -> None:
        outputs = [HiddenOutput(tmp_path / f"{how}.mp4", how, objects=[1]) for how in ("pixelate", "grey", "blur")]
        outputs.append(HiddenOutput(tmp_path / "red.mp4", "#ff0000", objects=[1]))
        export(results, outputs)
        frames = self.frames(outputs[-1].path)
        for index, frame in enumerate(frames):
            assert np.abs(frame[truth_of(index) == 1].astype(int) - (255, 0, 0)).max() < 60
            assert np.abs(frame[truth_of(index) != 1].astype(int) - (255, 0, 0)).max() > 100

    def test_crops(self, results: Any, tmp_path: Path) -> None:
        outputs: list[Any] = [
            CropOutput(tmp_path / "crops", size=64),
            CropOutput(tmp_path / "cut", size=64, background=False, objects=[7]),
            CropVideoOutput(tmp_path / "crop.mp4", size=64, object_id=7),
            CropVideoOutput(tmp_path / "black.mp4", size=64, background=False),
        ]
        export(results, outputs)
        for i, count in ((1, FRAMES), (7, FRAMES), (12, FRAMES - 1)):
            files = sorted((tmp_path / "crops" / str(i)).iterdir())
            assert len(files) == count
            assert {PIL.Image.open(file).size for file in files} == {(64, 64)}
        colour = np.array(PIL.Image.open(tmp_path / "crops/1/00004.jpg")).reshape(-1, 3).astype(int)
        assert (np.abs(colour - (220, 60, 50)).max(axis=1) < 40).mean() > 0.2
        cut = np.array(PIL.Image.open(tmp_path / "cut/7/00001.png"))
        assert 0.08 < (cut[..., 3] > 127).mean() < 0.7
        assert not np.array(PIL.Image.open(tmp_path / f"cut/7/{ABSENT[0]:05d}.png")).any()
        assert len(self.frames(tmp_path / "crop.mp4")) == FRAMES
        black = self.frames(tmp_path / "black.mp4")[3]
        assert (black.max(axis=2) < 20).mean() > 0.3 and black.max() > 150

    def test_audio_is_kept(self, tmp_path: Path) -> None:
        clip = video_files.write_clip(tmp_path / "sound.mp4", range(FRAMES), audio=("aac",))
        masks = tmp_path / "masks"
        masks.mkdir()
        with open_video(clip) as reader:
            for frame in reader:
                label_map = np.zeros(frame.image.shape[:2], np.uint8)
                label_map[10:30, 10:40] = 1
                write_palette_png(masks / f"{frame.name}.png", label_map)
        source = open_results(masks, clip)
        export(source, [BackgroundOutput(tmp_path / "b.mp4"), CutoutVideoOutput(tmp_path / "c.mov")])
        for name in ("b.mp4", "c.mov"):
            with av.open(str(tmp_path / name)) as container:
                assert len(container.streams.audio) == 1

    def test_wrong_choices(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no background 'plaid'"):
            BackgroundOutput(tmp_path / "b.mp4", "plaid")
        with pytest.raises(InputError, match="hidden by 'magic'"):
            HiddenOutput(tmp_path / "h.mp4", "magic")

    def test_a_missing_encoder_is_named(self, results: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("av.codec.codecs_available", {"libx264"})
        with pytest.raises(OutputError, match="lacks the encoder libvpx-vp9"):
            export(results, [CutoutVideoOutput(tmp_path / "c.webm")])
        assert list(tmp_path.iterdir()) == []


class TestCommand:
    def test_it_says_what_it_wrote(self, record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([str(record), "--to", "coco,csv", "--out", str(tmp_path)]) == 0
        assert capsys.readouterr().out == f"{FRAMES} frames -> {tmp_path / 'coco.json'}, {tmp_path / 'objects.csv'}\n"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--to", "coco,word"], "no format 'word'; give some of masks"),
            (["--to", ""], "no format ''"),
            (["--to", "coco", "--background", "grey"], "--background is for the formats background"),
            (["--to", "background", "--background", "nothing"], "no background 'nothing'"),
            (["--to", "crops", "--crop-size", "3"], "even number from 16"),
            (["--to", "cutout", "--objects", "a"], "no object ids"),
            (["--to", "coco", "--names", "1dog"], "cannot be read as JSON|no such file"),
            (["--to", "coco", "--names", "1=a,1=b"], "once"),
            (["--to", "coco", "--names", "999=a"], "from 1 to 254"),
            (["--to", "coco", "--video", "none.mp4"], "none.mp4"),
        ],
    )
    def test_wrong_input(
        self, record: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], said: str
    ) -> None:
        import re

        try:
            code = main([str(record), "--out", str(tmp_path / "out"), *arguments])
        except SystemExit as ended:
            code = ended.code
        error = capfd.readouterr().err
        assert code == 2, error
        assert re.search(said, error), error
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_formats_with_images_need_the_video(
        self, record: Path, exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(exported / "masks"), "--to", "yolo", "--out", str(tmp_path)]) == 2
        assert "give it with --video" in capfd.readouterr().err

    def test_existing_outputs_are_kept(self, record: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        arguments = [str(record), "--to", "coco,yolo,csv", "--out", str(tmp_path), "--quiet"]
        assert main(arguments) == 0
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert main(arguments) == 2
        assert "--overwrite" in capfd.readouterr().err
        assert main([*arguments, "--overwrite"]) == 0
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

    def test_a_folder_with_other_files_is_not_replaced(
        self, record: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "yolo").mkdir()
        (tmp_path / "yolo/notes.txt").write_text("mine")
        assert main([str(record), "--to", "yolo", "--out", str(tmp_path), "--overwrite", "--quiet"]) == 2
        assert "notes.txt" in capfd.readouterr().err
        assert {path.name for path in tmp_path.rglob("*")} == {"yolo", "notes.txt"}

    def test_a_cut_off_record_is_used(self, record: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(record.read_bytes()[:-10])
        assert main([str(cut), "--to", "csv", "--out", str(tmp_path)]) == 0
        assert "cut off" in capfd.readouterr().err
        header_only = tmp_path / "header.jsonl"
        header_only.write_bytes(record.read_bytes().splitlines(keepends=True)[0])
        assert main([str(header_only), "--to", "csv", "--out", str(tmp_path / "none")]) == 2
        assert "holds no frame" in capfd.readouterr().err

    def test_objects_that_there_are_not_are_named(
        self, record: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(record), "--to", "cutout", "--objects", "7,99", "--out", str(tmp_path)]) == 0
        assert "there was no object 99; the ids are 1, 7, 12" in capfd.readouterr().err

    def test_an_export_that_fails_changes_nothing(
        self, record: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A damaged line, and Ctrl-C, in the middle: outputs of before stay, and no new ones appear."""
        formats = "masks,coco,csv,yolo,overlay,crops"
        arguments = ["--to", formats, "--video", str(record.with_name("clip.mp4")), "--quiet"]
        kept, new = tmp_path / "kept", tmp_path / "new"
        assert main([str(record), *arguments, "--out", str(kept)]) == 0
        before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
        lines = record.read_bytes().splitlines(keepends=True)
        damaged = tmp_path / "damaged.jsonl"
        damaged.write_bytes(b"".join([*lines[:5], b"{}\n", *lines[6:]]))
        for out in (kept, new):
            assert main([str(damaged), *arguments, "--out", str(out), "--overwrite"]) == 2
            assert "line 6" in capfd.readouterr().err
        assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before
        assert not new.exists()

        def interrupt() -> None:
            raise KeyboardInterrupt

        outputs = [
            FORMATS[name].make(kept / FORMATS[name].file, FormatOptions(whole=True)) for name in formats.split(",")
        ]
        with pytest.raises(KeyboardInterrupt):
            export(load_results(record), outputs, overwrite=True, on_frame=interrupt)
        assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before
        assert {path for path in kept.rglob("*") if path.is_file()} == set(before)

    def test_inputs_are_no_outputs(self, record: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        names = tmp_path / "coco.json"
        names.write_text('{"1": "dog"}')
        arguments = [str(record), "--to", "coco", "--names", str(names), "--out", str(tmp_path), "--overwrite"]
        assert main(arguments) == 2
        assert "is an input" in capfd.readouterr().err
        assert names.read_text() == '{"1": "dog"}'

    def test_names_of_no_object_are_warned_of(
        self, record: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(record), "--to", "csv", "--names", "1=dog,99=cat", "--out", str(tmp_path)]) == 0
        assert "had no effect: 99 (cat)" in capfd.readouterr().err

    def test_the_folder_of_a_run_will_do(self, record: Path, tmp_path: Path) -> None:
        assert main([str(record.parent), "--to", "csv", "--out", str(tmp_path), "--quiet"]) == 0
        assert len(pandas.read_csv(tmp_path / "objects.csv")) == 3 * FRAMES - 1

    def test_it_needs_no_torch(self, record: Path, tmp_path: Path) -> None:
        import subprocess

        code = (
            "import sys\nfrom persam_video.cli.export import main\n"
            f"assert main([{str(record)!r}, '--to', 'masks,coco,cutout', '--out', {str(tmp_path)!r}, '--quiet']) == 0\n"
            "assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


def test_formats_are_chosen_once() -> None:
    assert [each.file for each in formats_of("masks,davis, coco")] == ["masks", "coco.json"]
    with pytest.raises(InputError, match="no format"):
        formats_of([])
    for name, each in FORMATS.items():
        assert each.make(Path("out") / each.file, FormatOptions()).path == Path("out") / each.file, name


def test_binary_masks_are_one_object(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder, values in (("binary", {1: 255}), ("void", {1: 1, 7: 255})):
        (tmp_path / folder).mkdir()
        for index in range(3):
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            for i, value in values.items():
                mask[truth_of(index) == i] = value
            PIL.Image.fromarray(mask).save(tmp_path / folder / f"{index:05d}.png")
        found = list(open_results(tmp_path / folder))
        assert [result.object_ids for result in found] == [(1,)] * 3
        assert all(np.array_equal(result.mask(1), truth_of(result.index) == 1) for result in found)
    assert caplog.text.count("are void") == 1


def test_images_have_the_names_that_coco_gives_them(tmp_path: Path) -> None:
    for folder, suffix in (("png", ".png"), ("bmp", ".bmp"), ("jpeg", ".JPG")):
        (tmp_path / folder).mkdir()
        (tmp_path / f"{folder}_masks").mkdir()
        for name in ("a 1", "b#2"):
            PIL.Image.new("RGB", (WIDTH, HEIGHT), (10, 200, 30)).save(tmp_path / folder / f"{name}{suffix}")
            write_palette_png(tmp_path / f"{folder}_masks" / f"{name}.png", truth_of(1))
        out = tmp_path / f"{folder}_out"
        arguments = ["--to", "coco,images,labelstudio", "--video", str(tmp_path / folder), "--out", str(out), "--quiet"]
        assert main([str(tmp_path / f"{folder}_masks"), *arguments]) == 0
        names = [each["file_name"] for each in json.loads((out / "coco.json").read_text())["images"]]
        assert names == [f"a 1{suffix}", f"b#2{suffix}"]
        assert sorted(path.name for path in (out / "images").iterdir()) == names
        pixels = [np.array(PIL.Image.open(path)) for path in (out / "images").iterdir()]
        assert all(
            (np.abs(each.astype(int) - (10, 200, 30)) <= (3 if suffix == ".JPG" else 0)).all() for each in pixels
        )
        tasks = json.loads((out / "labelstudio/tasks.json").read_text())
        assert tasks[1]["data"]["image"] == "/data/local-files/?d=images/b%232.jpg"


@pytest.mark.parametrize("objects", ["1", 1, ["dog"], [None]])
def test_wrong_objects(tmp_path: Path, objects: Any) -> None:
    for make in (CutoutOutput, CutoutVideoOutput, BackgroundOutput, HiddenOutput, CropOutput):
        with pytest.raises(InputError, match="list of ids"):
            make(tmp_path / "x", objects=objects)


def test_results_are_saved_as_images(record: Path, tmp_path: Path) -> None:
    result = next(iter(load_results(record)))
    result.save(tmp_path / "new" / "a.jpg")
    result.save_mask(tmp_path / "m.png")
    assert np.array_equal(read_palette_png(tmp_path / "m.png"), result.label_map)
    assert PIL.Image.open(tmp_path / "new" / "a.jpg").format == "JPEG"
    assert (np.array(PIL.Image.open(tmp_path / "new" / "a.jpg")).astype(int) - result.plot()).std() < 15
    for save, name in ((result.save, "a.xyz"), (result.save, "a"), (result.save_mask, "clip.mp4")):
        with pytest.raises(OutputError, match=r"suffix|\.png"):
            save(tmp_path / name)
    detections = result.to_supervision()
    assert detections.tracker_id.tolist() == [1, 7]
    assert np.array_equal(detections.mask[1], result.mask(7))
    assert detections.data["class_name"].tolist() == ["dog", NAMES[7]]


def test_masks_of_one_frame_twice_are_refused(tmp_path: Path) -> None:
    for name in ("1", "01"):
        write_palette_png(tmp_path / f"{name}.png", truth_of(1))
    with pytest.raises(InputError, match="frame 1"):
        open_results(tmp_path)


@pytest.mark.slow
def test_memory_does_not_grow(tmp_path: Path) -> None:
    """Of all formats that add to files: nothing of earlier frames is kept."""

    class Repeated:
        """The results again and again, as of a long video."""

        def __init__(self, record: Path, times: int) -> None:
            self._results, self._times = load_results(record), times
            self.path, self.run, self.video = record, self._results.run, None
            self.inputs, self.given_names = [record], dict[int, str]()

        def opened(self) -> Any:
            from contextlib import nullcontext

            return nullcontext((self.run.video, self._all()))

        def _all(self) -> Iterator[Any]:
            from dataclasses import replace

            results = list(self._results.results_without_images())
            for number in range(self._times):
                for result in results:
                    index = number * FRAMES + result.index
                    yield replace(result, frame=replace(result.frame, index=index, name=f"{index:06d}"))

    record = write_results(tmp_path)
    names = ("coco", "cvat", "csv", "mots", "coco-polygons")
    used = []
    for times in (20, 120):
        outputs = [FORMATS[name].make(tmp_path / f"{times}" / FORMATS[name].file, FormatOptions()) for name in names]
        export(Repeated(record, times), outputs)  # type: ignore[arg-type]
        used.append(psutil.Process(os.getpid()).memory_info().rss)
    assert used[1] - used[0] < 30e6


def test_mask_output_of_a_record_is_byte_for_byte_the_runs(record: Path, tmp_path: Path) -> None:
    export(load_results(record), [MaskOutput(tmp_path / "a")])
    export(load_results(record, write_clip(tmp_path / "clip2.mp4")), [CocoOutput(tmp_path / "c.json")])
    for index in range(FRAMES):
        assert np.array_equal(read_palette_png(tmp_path / "a" / f"{index:05d}.png"), truth_of(index))


SHARED = Path(__file__).parents[2] / "shared" / "davis" / "Annotations" / "480p" / "bmx-trees"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs DAVIS' masks of bmx-trees beside the checkout")
def test_masks_of_davis_come_back(tmp_path: Path) -> None:
    """Two ids, the smaller one with thin parts, holes and occlusions."""
    masks = tmp_path / "masks"
    masks.mkdir()
    truths = {}
    for file in sorted(SHARED.glob("*.png"))[::8]:
        truths[file.stem] = read_palette_png(file)
        write_palette_png(masks / file.name, truths[file.stem])
    wanted = {(name, int(i)) for name, truth in truths.items() for i in np.unique(truth) if i}
    names = ["--names", "1=bike,2=rider"]
    formats = "coco,coco-polygons,mots,cvat,davis"
    assert main([str(masks), "--to", formats, "--out", str(tmp_path / "out"), *names, "--quiet"]) == 0
    for file, least in (("coco", 1.0), ("coco_polygons", 0.98)):
        coco = pycocotools.coco.COCO(tmp_path / "out" / f"{file}.json")
        seen = set()
        for entry in coco.loadAnns(coco.getAnnIds()):
            name, i = Path(coco.imgs[entry["image_id"]]["file_name"]).stem, entry["track_id"]
            assert iou(coco.annToMask(entry) > 0, truths[name] == i) >= least
            assert coco.cats[entry["category_id"]]["name"] == {1: "bike", 2: "rider"}[i]
            seen.add((name, i))
        assert seen == wanted
    for name, truth in truths.items():
        assert np.array_equal(read_palette_png(tmp_path / "out/masks" / f"{name}.png"), truth)
        for i in np.unique(truth)[1:]:
            drawn = np.zeros_like(truth)
            for polygon in centre_polygons(truth, int(i)):
                part = np.zeros_like(truth)
                cv2.fillPoly(part, [polygon.astype(np.int32)], 1)
                drawn |= part
            assert iou(drawn > 0, truth == i) >= 0.98

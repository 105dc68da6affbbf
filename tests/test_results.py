"""The record of a run, and reading it."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pycocotools.mask
import pytest
from results_data import (
    ABSENT,
    FRAMES,
    HEIGHT,
    NAMES,
    SCORES,
    WIDTH,
    results_of,
    truth_of,
    write,
    write_clip,
    write_results,
)

from persam_video import InputError, OutputError, Results, ResultsOutput, VideoError, load_results, open_video
from persam_video.results.run_lengths import encode_mask


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return write_results(tmp_path)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def changed(path: Path, number: int, **values: Any) -> Path:
    """Copy of a record in which keys of a line have other values."""
    lines = lines_of(path)
    lines[number].update(values)
    copy = path.with_name("changed.jsonl")
    copy.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return copy


class TestRunLengths:
    def test_they_are_those_of_pycocotools(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(300):
            rows, columns = rng.integers(1, 20, 2)
            label_map = (rng.random((rows, columns)) < rng.random()).astype(np.uint8) * 9
            expected = pycocotools.mask.encode(np.asfortranarray(label_map > 0))
            found = encode_mask(label_map, 9)
            if not label_map.any():
                assert found is None
                continue
            assert found is not None
            assert found.counts == expected["counts"].decode()
            assert found.area == pycocotools.mask.area(expected)
            assert list(found.box) == pycocotools.mask.toBbox(expected).tolist()

    def test_other_objects_are_left_out(self) -> None:
        label_map = truth_of(1)
        assert encode_mask(label_map, 3) is None
        found = encode_mask(label_map, 7)
        assert found is not None
        rle = {"size": [HEIGHT, WIDTH], "counts": found.counts.encode()}
        assert np.array_equal(pycocotools.mask.decode(rle) > 0, label_map == 7)


class TestRecord:
    def test_every_line_is_as_the_schema_says(self, record: Path) -> None:
        schema = json.loads(files("persam_video.results").joinpath("results.schema.json").read_text(encoding="utf-8"))
        validator = jsonschema.Draft202012Validator(schema)
        lines = lines_of(record)
        for line in lines:
            validator.validate(line)
        assert not validator.is_valid({**lines[1], "frame": -1})
        assert len(lines) == FRAMES + 1

    def test_the_header_says_what_it_is_of(self, record: Path) -> None:
        header = lines_of(record)[0]
        video = header["video"]
        assert (video["name"], video["width"], video["height"], video["frame_count"]) == (
            "clip.mp4",
            WIDTH,
            HEIGHT,
            FRAMES,
        )
        assert (video["kind"], video["frame_rate"]) == ("file", "24/1")
        with open_video(record.with_name("clip.mp4")) as reader:
            assert video["sha256"] == reader.content_sha256()
        assert header["settings"]["model"] == "vit_t"
        assert header["names"] == {"1": "dog", "7": "cup & <saucer>"}
        assert header["outputs"] == []

    def test_a_frame_has_everything_about_its_objects(self, record: Path) -> None:
        line = lines_of(record)[4]
        assert (line["frame"], line["name"], line["time"], line["seconds"]) == (3, "00003", "1/8", 0.125)
        dog, cup, other = line["objects"]
        assert (dog["id"], dog["name"], dog["score"], dog["visible"]) == (1, "dog", 0.75, True)
        assert dog["area"] == (truth_of(3) == 1).sum()
        assert dog["mask"]["size"] == [HEIGHT, WIDTH]
        x, y, width, height = dog["box"]
        rows, columns = np.nonzero(truth_of(3) == 1)
        assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (cup["visible"], cup["box"], cup["area"], cup["mask"], cup["score"]) == (False, None, 0, None, 0)
        assert (other["id"], other["name"]) == (12, None)

    def test_lines_are_whole_while_it_grows(self, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "clip.mp4")
        output = ResultsOutput(tmp_path / "r.jsonl")
        with open_video(clip) as reader:
            output.open(reader.info, overwrite=False)
            assert not output.path.exists()
            for count, result in enumerate(results_of(reader), start=1):
                output.prepare(result)()
                assert len(lines_of(output.path)) == count + 1
            output.close()

    def test_an_existing_one_is_kept(self, record: Path) -> None:
        before = record.read_bytes()
        with pytest.raises(OutputError, match="exists already"):
            write(record.with_name("clip.mp4"), [ResultsOutput(record)])
        assert record.read_bytes() == before
        write(record.with_name("clip.mp4"), [ResultsOutput(record)], overwrite=True)
        assert record.read_bytes() == before

    def test_hash_of_images_is_of_names_and_sizes(self, tmp_path: Path) -> None:
        import PIL.Image

        hashes = []
        for names in (("a.png", "b.png"), ("a.png", "c.png")):
            folder = tmp_path / names[1]
            folder.mkdir()
            for name in names:
                PIL.Image.new("RGB", (20, 10)).save(folder / name)
            with open_video(folder) as reader:
                hashes.append(reader.content_sha256())
        assert hashes[0] != hashes[1]
        with open_video([np.zeros((9, 9, 3), np.uint8)]) as reader:
            assert reader.content_sha256() is None


class TestLoading:
    def test_the_results_come_back_with_the_video(self, record: Path) -> None:
        results = load_results(record)
        assert results.video == record.resolve().with_name("clip.mp4")
        assert results.run.names == NAMES
        assert results.run.video.frame_rate == 24
        with open_video(results.video) as reader:
            frames = list(reader)
        for _ in range(2):  # it can be read again
            loaded = list(results)
            assert len(loaded) == FRAMES
            for result, frame in zip(loaded, frames, strict=True):
                assert np.array_equal(result.label_map, truth_of(frame.index))
                assert np.array_equal(result.frame.image, frame.image)
                assert (result.frame.name, result.frame.time_seconds) == (frame.name, frame.time_seconds)
                assert result.names == NAMES
                assert result.visible[7] is (frame.index not in ABSENT)
                assert result.scores[1] == SCORES[1]
            assert loaded[0].object_ids == (1, 7)
            assert loaded[1].object_ids == (1, 7, 12)

    def test_without_the_video_images_are_black(self, record: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        moved = tmp_path_factory.mktemp("elsewhere") / "results.jsonl"
        shutil.copy(record, moved)
        results = load_results(moved)
        assert results.video is None
        loaded = list(results)
        assert not loaded[2].frame.image.any()
        assert np.array_equal(loaded[2].label_map, truth_of(2))
        assert loaded[2].frame.time_seconds == pytest.approx(2 / 24)
        with pytest.raises(InputError, match="not at hand"):
            results.open_video()
        assert load_results(moved, record.with_name("clip.mp4")).video is not None

    def test_the_video_may_be_in_the_folder_above(self, record: Path) -> None:
        (record.parent / "clip_persam").mkdir()
        moved = record.rename(record.parent / "clip_persam" / "results.jsonl")
        assert load_results(moved).video == record.parent.resolve() / "clip.mp4"

    def test_another_video_is_refused(self, record: Path, caplog: pytest.LogCaptureFixture) -> None:
        clip = record.with_name("clip.mp4")
        other = clip.with_name("other.mp4")
        other.write_bytes(clip.read_bytes() + b"\0")
        with pytest.raises(VideoError, match="hash differs"):
            load_results(record, other)
        other.replace(clip)
        assert load_results(record).video is None
        assert "hash differs" in caplog.text

    def test_names_can_be_given(self, record: Path) -> None:
        results = load_results(record, names={1: "wolf", 12: "wall"})
        assert results.run.names == {**NAMES, 1: "wolf", 12: "wall"}
        assert list(results)[1].names == {**NAMES, 1: "wolf", 12: "wall"}

    def test_strides_and_starts_find_their_frames(self, tmp_path: Path) -> None:
        record = write_results(tmp_path)
        lines = record.read_bytes().splitlines(keepends=True)
        record.write_bytes(b"".join([lines[0], *lines[3::2]]))
        assert [each.index for each in load_results(record)] == [2, 4, 6]

    def test_coco_of_all(self, record: Path) -> None:
        content = load_results(record).to_coco()
        assert len(content["images"]) == FRAMES
        assert [each["name"] for each in content["categories"]] == ["dog", NAMES[7], "object 12"]
        assert len(content["annotations"]) == 3 * FRAMES - len(ABSENT) - 1

    def test_a_last_line_that_is_cut_off_is_left_out(self, record: Path, caplog: pytest.LogCaptureFixture) -> None:
        record.write_bytes(record.read_bytes()[:-40])
        assert len(list(load_results(record))) == FRAMES - 1
        assert "cut off" in caplog.text

    def test_a_whole_last_line_needs_no_newline(self, record: Path) -> None:
        record.write_bytes(record.read_bytes().rstrip())
        assert len(list(load_results(record))) == FRAMES

    @pytest.mark.parametrize(
        "content",
        [b"", b"{}", b"nonsense\n", b'{"format": "persam-video results"}', b"[" * 100_000, b"\xff\xfe\n", b"[1]\n"],
    )
    def test_other_files_are_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "r.jsonl"
        path.write_bytes(content)
        with pytest.raises(InputError, match="results"):
            load_results(path)

    def test_missing_files_and_folders_are_refused(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.jsonl", tmp_path):
            with pytest.raises(InputError):
                load_results(path)
        with pytest.raises(InputError, match="type int"):
            Results(3)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"version": 2}, "version 2"),
            ({"video": None}, "damaged"),
            ({"video": {"name": "a", "width": 10**9, "height": 5, "time_base": "1/24"}}, "width"),
            ({"video": {"name": "a", "width": 5, "height": 5, "time_base": "1/0"}}, "time_base"),
            ({"names": {"1": "a\nb"}}, "printed"),
            ({"names": {"x": "a"}}, "object x"),
            ({"names": [1]}, "damaged"),
        ],
    )
    def test_damaged_headers(self, record: Path, values: dict[str, Any], said: str) -> None:
        with pytest.raises(InputError, match=said) as raised:
            load_results(changed(record, 0, **values))
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"frame": -1}, "frame's number"),
            ({"frame": 0}, "comes after"),
            ({"name": "../x"}, "not the name"),
            ({"time": "a/b"}, "time"),
            ({"objects": None}, "no objects"),
            ({"objects": [{"id": 255, "score": 1}]}, "id"),
            ({"objects": [{"id": 1, "score": 2}]}, "score"),
            ({"objects": [{"id": 1, "score": float("nan")}]}, "score"),
            ({"objects": [{"id": 1, "score": 1}] * 2}, "twice"),
            ({"objects": [{"id": 1, "score": 1, "mask": {"counts": "abc"}}]}, "line 3"),
            ({"objects": [{"id": 1, "score": 1, "mask": {"counts": "", "size": [90, 160]}}]}, "line 3"),
            ({"objects": [{"id": 1, "score": 1, "mask": {"counts": 5}}]}, "counts"),
            ({"objects": [{"id": 1, "score": 1, "name": " "}]}, "empty"),
        ],
    )
    def test_damaged_lines(self, record: Path, values: dict[str, Any], said: str) -> None:
        with pytest.raises(InputError, match=said) as raised:
            list(load_results(changed(record, 2, **values)))
        assert "line 3" in str(raised.value)

    def test_masks_that_overlap_are_refused(self, record: Path) -> None:
        objects = lines_of(record)[2]["objects"]
        objects[1]["mask"] = objects[0]["mask"]
        with pytest.raises(InputError, match="overlaps"):
            list(load_results(changed(record, 2, objects=objects)))

    def test_times_are_exact(self, record: Path) -> None:
        frame = list(load_results(record))[5].frame
        assert frame.pts is not None and frame.time_base is not None
        assert frame.pts * frame.time_base == Fraction(5, 24)

"""Tracking of a dataset: sequences that are tracked, skipped or tracked again, and errors of single sequences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_sam import BLUE, ColourSam, Square, draw
from davis_data import SEQUENCES, make_dataset, write_frame
from PIL import Image

from persam_video.errors import InputError, OutputError
from persam_video.evaluation.dataset_run import DatasetRun, SequenceRun
from persam_video.evaluation.davis.dataset import open_dataset
from persam_video.evaluation.davis.scoring import evaluate
from persam_video.files.palette_png import read_palette_png, write_palette_png

pytestmark = pytest.mark.slow


def track(root: Path, out: Path, sam: ColourSam | None = None, **options: object) -> dict[str, SequenceRun]:
    overwrite = bool(options.pop("overwrite", False))
    dataset = open_dataset(root, **options)  # type: ignore[arg-type]
    return {run.name: run for run in DatasetRun(dataset, sam or ColourSam(), out, overwrite=overwrite)}  # type: ignore[arg-type]


def record(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def with_weights(path: Path, content: bytes = b"") -> ColourSam:
    """Model with weights of a hash, which come from a file."""
    path.write_bytes(content)
    sam = ColourSam()
    sam.checkpoint, sam.weights_sha256 = path, "1" * 64
    return sam


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "davis")


class TestAll:
    def test_every_sequence_is_tracked_and_scores_well(self, root: Path, tmp_path: Path) -> None:
        runs = track(root, tmp_path / "out")
        assert {name: (run.frames, run.objects, run.error) for name, run in runs.items()} == {
            "one": (5, 1, None),
            "two": (5, 2, None),
        }
        for each in evaluate(open_dataset(root).sequences, tmp_path / "out"):
            assert each.j.min() > 0.75, each.name

    def test_the_record_holds_settings_and_environment(self, root: Path, tmp_path: Path) -> None:
        track(root, tmp_path)
        content = record(tmp_path)
        assert content["settings"]["model"] == "colours"
        assert content["settings"]["precision"] == "float32"
        assert content["settings"]["checkpoint_sha256"] is None
        assert len(content["settings"]["code_sha256"]) == 64
        assert content["device"]["type"] == "cpu"
        assert content["versions"]["torch"]
        one = content["sequences"]["one"]
        assert one["done"]
        assert one["frames"] == 5
        assert set(one["seconds"]) == {"read", "encode", "track", "write", "whole"}
        assert all(spent > 0 for spent in one["seconds"].values())
        assert one["frames_per_second"] == pytest.approx(5 / one["seconds"]["whole"])

    def test_the_hash_of_the_weights(self, root: Path, tmp_path: Path) -> None:
        track(root, tmp_path / "out", with_weights(tmp_path / "weights.pt"), sequences=["one"])
        assert record(tmp_path / "out")["settings"]["checkpoint_sha256"] == "1" * 64

    def test_only_the_first_annotation_is_used(self, root: Path, tmp_path: Path) -> None:
        for later in sorted((root / "Annotations" / "480p" / "one").iterdir())[1:]:
            later.write_bytes(b"not an image")
        assert track(root, tmp_path, sequences=["one"])["one"].error is None


class TestLaterRuns:
    def test_complete_sequences_are_skipped(self, root: Path, tmp_path: Path) -> None:
        first = track(root, tmp_path)
        sam = ColourSam()
        second = track(root, tmp_path, sam)
        assert sam.encoded == 0
        assert all(run.skipped for run in second.values())
        assert second["two"].seconds == first["two"].seconds

    def test_a_new_sequence_is_added(self, root: Path, tmp_path: Path) -> None:
        track(root, tmp_path, sequences=["one"])
        assert {n: r.skipped for n, r in track(root, tmp_path).items()} == {"one": True, "two": False}
        assert set(record(tmp_path)["sequences"]) == {"one", "two"}

    def test_other_settings_track_again(self, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        track(root, tmp_path, sequences=["one"])
        sam = ColourSam()
        sam.options.model = "colours, larger"
        assert not track(root, tmp_path, sam, sequences=["one"])["one"].skipped
        assert (
            "one: tracked again, because its masks were made with another model (colours, now colours, larger)"
            in caplog.text
        )
        assert record(tmp_path)["sequences"]["one"]["settings"]["model"] == "colours, larger"

    def test_the_same_weights_in_another_file_are_known(self, root: Path, tmp_path: Path) -> None:
        track(root, tmp_path, with_weights(tmp_path / "weights.pt"))
        sam = with_weights(tmp_path / "weights.safetensors", b"the same tensors")
        assert all(run.skipped for run in track(root, tmp_path, sam).values())

    def test_a_record_of_version_0_1_has_the_hash_of_the_file(
        self, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        sam = with_weights(tmp_path / "weights.pt", b"abc")
        track(root, tmp_path, sam)
        content = record(tmp_path)
        of_file = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        content["sequences"]["one"]["settings"]["checkpoint_sha256"] = of_file
        content["sequences"]["two"]["settings"]["checkpoint_sha256"] = of_file.replace("b", "c")
        (tmp_path / "run.json").write_text(json.dumps(content))
        assert {name: run.skipped for name, run in track(root, tmp_path, sam).items()} == {"one": True, "two": False}
        assert "two: tracked again, because its masks were made with another checkpoint sha256 (ca78" in caplog.text

    def test_another_first_mask_tracks_again(
        self, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        track(root, tmp_path)
        mask = root / "Annotations" / "480p" / "one" / "00000.png"
        label_map = read_palette_png(mask)
        label_map[20:24] = 0
        write_palette_png(mask, label_map)
        runs = track(root, tmp_path)
        assert "one: tracked again, because its masks were made with other images or annotations" in caplog.text
        assert {n: r.skipped for n, r in runs.items()} == {"one": False, "two": True}

    def test_another_image_tracks_again(self, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        track(root, tmp_path)
        images = root / "JPEGImages" / "480p" / "two"
        Image.fromarray(draw(SEQUENCES["two"], 2)[0]).save(images / "00003.jpg")
        runs = track(root, tmp_path)
        assert "other images" in caplog.text
        assert {n: r.skipped for n, r in runs.items()} == {"one": True, "two": False}

    def test_a_truncated_mask_is_made_again(self, root: Path, tmp_path: Path) -> None:
        track(root, tmp_path)
        (tmp_path / "two" / "00002.png").write_bytes(b"")
        assert {n: r.skipped for n, r in track(root, tmp_path).items()} == {"one": True, "two": False}
        assert read_palette_png(tmp_path / "two" / "00002.png").any()

    def test_two_runs_in_one_folder(self, root: Path, tmp_path: Path) -> None:
        """Both are created before either has tracked anything, as on two devices."""
        datasets = [open_dataset(root, sequences=[name]) for name in ("one", "two")]
        for run in [DatasetRun(dataset, ColourSam(), tmp_path) for dataset in datasets]:  # type: ignore[arg-type]
            list(run)
        assert set(record(tmp_path)["sequences"]) == {"one", "two"}
        assert all(run.skipped for run in track(root, tmp_path).values())

    def test_incomplete_sequences_are_tracked_again(self, root: Path, tmp_path: Path) -> None:
        track(root, tmp_path)
        (tmp_path / "one" / "00003.png").unlink()
        content = record(tmp_path)
        content["sequences"]["two"]["done"] = False
        (tmp_path / "run.json").write_text(json.dumps(content))
        assert not any(run.skipped for run in track(root, tmp_path).values())
        assert (tmp_path / "one" / "00003.png").is_file()

    def test_an_interrupted_sequence_is_tracked_again(self, root: Path, tmp_path: Path) -> None:
        class InterruptedSam(ColourSam):
            def encode_one(self, *image: Any):
                if self.encoded == 7:  # the second frame of the second sequence
                    raise KeyboardInterrupt
                return super().encode_one(*image)

        with pytest.raises(KeyboardInterrupt):
            track(root, tmp_path, InterruptedSam())
        assert [each["done"] for each in record(tmp_path)["sequences"].values()] == [True, False]
        assert {n: r.skipped for n, r in track(root, tmp_path).items()} == {"one": True, "two": False}


class TestErrors:
    def test_a_damaged_sequence_does_not_stop_the_others(self, root: Path, tmp_path: Path) -> None:
        broken = root / "JPEGImages" / "480p" / "one" / "00002.jpg"
        broken.write_bytes(broken.read_bytes()[:200])
        runs = track(root, tmp_path)
        assert "00002.jpg" in str(runs["one"].error)
        assert "\n" not in str(runs["one"].error)
        assert runs["two"].error is None
        assert not record(tmp_path)["sequences"]["one"]["done"]

    def test_unexpected_errors_do_not_stop_the_others(self, root: Path, tmp_path: Path) -> None:
        class FailingSam(ColourSam):
            def encode_one(self, *image: Any):
                if self.encoded == 2:
                    self.encoded += 1
                    raise RuntimeError("out of\nmemory")
                return super().encode_one(*image)

        runs = track(root, tmp_path, FailingSam())
        assert runs["one"].error == "RuntimeError: out of memory"
        assert runs["two"].error is None

    def test_without_objects_or_images_no_masks_are_written(self, root: Path, tmp_path: Path) -> None:
        write_palette_png(root / "Annotations" / "480p" / "one" / "00000.png", np.zeros((144, 256), np.uint8))
        for image in (root / "JPEGImages" / "480p" / "two").iterdir():
            image.unlink()
        runs = track(root, tmp_path)
        assert "holds no object" in str(runs["one"].error)
        assert "no images" in str(runs["two"].error)
        assert not (tmp_path / "one").exists()

    def test_masks_that_are_not_recorded_are_not_replaced(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "two").mkdir()
        write_palette_png(tmp_path / "two" / "00000.png", np.full((9, 9), 7, np.uint8))
        with pytest.raises(
            OutputError, match=r"two: holds PNG files that are not recorded in run\.json; .* or overwrite=True"
        ):
            track(root, tmp_path)
        assert not (tmp_path / "run.json").exists()
        assert track(root, tmp_path, overwrite=True)["two"].error is None

    def test_the_dataset_is_never_written_to(self, root: Path) -> None:
        for folder in (root, root / "Annotations" / "480p"):
            with pytest.raises(OutputError, match="belongs to the dataset"):
                track(root, folder, overwrite=True)
        assert not (root / "run.json").exists()

    @pytest.mark.parametrize(
        "text", ["{", "[]", '{"sequences": 3}', '{"sequences": {"one": 3}}', '{"sequences": {"one": {"done": true}}}']
    )
    def test_an_invalid_record_is_refused(self, root: Path, tmp_path: Path, text: str) -> None:
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(InputError, match=r"run\.json"):
            track(root, tmp_path)
        assert (tmp_path / "run.json").read_text() == text


class TestLayouts:
    def test_2016_writes_0_and_255(self, tmp_path: Path) -> None:
        root = make_dataset(tmp_path / "davis", year="2016")
        runs = track(root, tmp_path / "out", year="2016")
        assert runs["two"].objects == 1
        mask = np.array(Image.open(tmp_path / "out" / "one" / "00003.png"))
        assert np.unique(mask).tolist() == [0, 255]
        scores = evaluate(open_dataset(root, year="2016").sequences, tmp_path / "out")
        assert scores[0].j.min() > 0.75

    def test_files_of_2017_read_as_2016(self, root: Path, tmp_path: Path) -> None:
        """Two objects of different colours are one object; the stand-in for SAM can track only one colour of it."""
        assert track(root, tmp_path, year="2016", sequences=["two"])["two"].objects == 1

    def youtube_vos(self, folder: Path, later: dict[int, np.ndarray]) -> None:
        for index in range(4):
            image, label_map = draw(SEQUENCES["two"], index)
            write_frame(folder, "", "video", index, image, label_map if index == 0 else later.get(index))

    def test_a_later_annotation_without_an_object(self, tmp_path: Path) -> None:
        self.youtube_vos(tmp_path / "vos", {2: np.zeros((144, 256), np.uint8)})
        assert track(tmp_path / "vos", tmp_path / "out")["video"].error is None

    def test_a_later_annotation_of_the_wrong_size_is_named(self, tmp_path: Path) -> None:
        self.youtube_vos(tmp_path / "vos", {2: np.full((50, 50), 9, np.uint8)})
        error = str(track(tmp_path / "vos", tmp_path / "out")["video"].error)
        assert "00002.png is 50×50 pixels" in error

    def test_later_annotations_of_tracked_objects_are_ignored(self, tmp_path: Path) -> None:
        """A dataset whose frames are all annotated must not correct what is scored."""
        moved = np.roll(draw(SEQUENCES["two"], 2)[1], 40, axis=0)
        self.youtube_vos(tmp_path / "vos", {2: moved})
        track(tmp_path / "vos", tmp_path / "out")
        mask = read_palette_png(tmp_path / "out" / "video" / "00002.png")
        truth = draw(SEQUENCES["two"], 2)[1]
        assert all(((mask == i) & (truth == i)).sum() / ((mask == i) | (truth == i)).sum() > 0.75 for i in (1, 2))

    def test_youtube_vos_objects_appear_later(self, tmp_path: Path) -> None:
        late = Square(5, BLUE, left=120, top=16, absent=range(3))
        squares = [*SEQUENCES["two"], late]
        for index in range(8):
            image, label_map = draw(squares, index)
            annotations = {1: np.where(label_map == 5, 0, label_map), 3: np.where(label_map == 5, 5, 0)}
            write_frame(tmp_path / "vos", "", "video", index, image, annotations.get(index))
        runs = track(tmp_path / "vos", tmp_path / "out")
        assert runs["video"].error is None
        assert (runs["video"].frames, runs["video"].objects) == (7, 3)
        masks = {int(path.stem): read_palette_png(path) for path in (tmp_path / "out" / "video").iterdir()}
        assert sorted(masks) == list(range(1, 8))  # from the first annotated frame on
        for index, mask in masks.items():
            truth = draw(squares, index)[1]
            assert set(np.unique(mask)) == set(np.unique(truth)), index
            for i in np.unique(truth)[1:]:
                assert ((mask == i) & (truth == i)).sum() / ((mask == i) | (truth == i)).sum() > 0.75, (index, i)

"""Sequences, lists, resolutions and annotations of datasets in the layouts of DAVIS and YouTube-VOS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persam_video.errors import InputError
from persam_video.evaluation.davis.dataset import DavisSequence, open_dataset
from persam_video.files.palette_png import write_palette_png


def make_folders(root: Path, names: Iterable[str], resolution: str = "480p", frames: int = 3) -> Path:
    """A dataset with empty files: `open_dataset` only lists them."""
    for name in names:
        for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
            folder = root / kind / resolution / name
            folder.mkdir(parents=True)
            for index in range(frames):
                (folder / f"{index:05d}.{suffix}").touch()
    return root


def write_list(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))


def names_of(root: Path, **options: object) -> list[str]:
    return [sequence.name for sequence in open_dataset(root, **options).sequences]  # type: ignore[arg-type]


def sequence_of(folder: Path, *maps: np.ndarray, year: str = "2017") -> DavisSequence:
    folder.mkdir(parents=True)
    paths = tuple(folder / f"{index:05d}.png" for index in range(len(maps)))
    for path, label_map in zip(paths, maps, strict=True):
        write_palette_png(path, label_map)
    return DavisSequence(folder.name, (), paths, year)


def flat(*values: int) -> np.ndarray:
    """A label map with one pixel of each value."""
    return np.array([values], np.uint8)


class TestLists:
    def test_the_list_of_the_year_and_the_split_is_used(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["bear", "camel", "dog"])
        write_list(tmp_path / "ImageSets" / "2017" / "val.txt", "dog\nbear\n")
        write_list(tmp_path / "ImageSets" / "2017" / "train.txt", "camel\n")
        write_list(tmp_path / "ImageSets" / "2016" / "val.txt", "bear\n")
        assert names_of(tmp_path) == ["dog", "bear"]
        assert names_of(tmp_path, split="train") == ["camel"]
        assert names_of(tmp_path, year="2016") == ["bear"]

    def test_byte_order_marks_blank_lines_crlf_and_repetitions_are_accepted(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["bear", "dog"])
        write_list(tmp_path / "ImageSets" / "2017" / "val.txt", "\ufeffdog\r\n\r\n  bear \r\ndog\r\n\n")
        assert names_of(tmp_path) == ["dog", "bear"]

    def test_a_list_that_is_not_utf_8_is_refused(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog"])
        write_list(tmp_path / "ImageSets" / "2017" / "val.txt", "")
        (tmp_path / "ImageSets" / "2017" / "val.txt").write_bytes("dog\n".encode("utf-16"))
        with pytest.raises(InputError, match=r"val\.txt: is not UTF-8 text"):
            open_dataset(tmp_path)

    def test_hidden_folders_are_not_sequences(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog", ".cache"])
        assert names_of(tmp_path) == ["dog"]

    def test_davis_2016_lists_name_files(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        make_folders(tmp_path, ["bear", "camel", "dog"])
        lines = [
            f"/JPEGImages/480p/{name}/{index:05d}.jpg /Annotations/480p/{name}/{index:05d}.png "
            for name in ("dog", "bear")
            for index in range(3)
        ]
        write_list(tmp_path / "ImageSets" / "480p" / "val.txt", "\n".join(lines))
        assert names_of(tmp_path, year="2016") == ["dog", "bear"]
        assert not caplog.records

    def test_without_a_list_all_folders_are_used_in_natural_order(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        make_folders(tmp_path, ["dog10", "dog2", "bear"])
        assert names_of(tmp_path) == ["bear", "dog2", "dog10"]
        assert not caplog.records

    def test_a_list_that_is_missing_among_others_causes_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        make_folders(tmp_path, ["bear", "dog"])
        write_list(tmp_path / "ImageSets" / "2017" / "train.txt", "dog\n")
        assert names_of(tmp_path) == ["bear", "dog"]
        (warning,) = caplog.records
        assert warning.levelname == "WARNING"
        assert re.search(r"2017.val\.txt is missing: all 2 sequences are used", warning.getMessage())

    def test_an_empty_list_is_refused(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["bear"])
        write_list(tmp_path / "ImageSets" / "2017" / "val.txt", "\n \n")
        with pytest.raises(InputError, match=r"val\.txt: is empty"):
            open_dataset(tmp_path)

    def test_a_listed_sequence_that_does_not_exist_is_named(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["bear"])
        write_list(tmp_path / "ImageSets" / "2017" / "val.txt", "bear\nwolf\n")
        with pytest.raises(InputError, match="holds no sequence 'wolf'; it holds bear"):
            open_dataset(tmp_path)


class TestChosenSequences:
    def test_their_order_is_kept_and_the_list_is_ignored(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["bear", "camel", "dog"])
        write_list(tmp_path / "ImageSets" / "2017" / "val.txt", "camel\n")
        assert names_of(tmp_path, sequences=["dog", "bear", "dog"]) == ["dog", "bear"]

    def test_an_unknown_one_is_named_with_some_that_exist(self, tmp_path: Path) -> None:
        make_folders(tmp_path, [f"s{number}" for number in range(10)])
        with pytest.raises(InputError, match=r"no sequence 'wolf'; it holds s0, s1, .*s7, …$"):
            open_dataset(tmp_path, sequences=["s1", "wolf"])


class TestResolutions:
    def test_480p_is_the_default_where_it_exists(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog"], "1080p")
        make_folders(tmp_path, ["dog"], "480p")
        (sequence,) = open_dataset(tmp_path).sequences
        assert sequence.annotations[0] == tmp_path / "Annotations" / "480p" / "dog" / "00000.png"
        assert sequence.images[0] == tmp_path / "JPEGImages" / "480p" / "dog" / "00000.jpg"

    def test_another_can_be_chosen(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog"], "480p")
        make_folders(tmp_path, ["dog", "wolf"], "Full-Resolution")
        dataset = open_dataset(tmp_path, resolution="Full-Resolution")
        assert dataset.resolution == "Full-Resolution"
        assert [sequence.annotations[2].parts[-3:] for sequence in dataset.sequences] == [
            ("Full-Resolution", name, "00002.png") for name in ("dog", "wolf")
        ]

    def test_the_only_one_is_the_default(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog"], "1080p")
        assert open_dataset(tmp_path).resolution == "1080p"

    def test_of_several_without_480p_one_must_be_chosen(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog"], "1080p")
        make_folders(tmp_path, ["dog"], "Full-Resolution")
        message = r"holds 1080p and Full-Resolution; choose one, for example by resolution='1080p'$"
        with pytest.raises(InputError, match=message):
            open_dataset(tmp_path)

    def test_a_missing_one_is_refused_and_the_existing_ones_are_named(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog"], "480p")
        with pytest.raises(InputError, match="holds no folder 1080p; it holds 480p"):
            open_dataset(tmp_path, resolution="1080p")

    def test_a_layout_without_resolutions(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog"], "")
        with pytest.raises(InputError, match="holds no folder 480p; it holds no resolutions"):
            open_dataset(tmp_path, resolution="480p")


class TestOtherLayouts:
    def test_youtube_vos_has_no_resolutions_and_few_annotations(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["0062f687f1", "ffe59ed1c1"], "", frames=4)
        for name in ("00002.png", "00003.png"):
            (tmp_path / "Annotations" / "0062f687f1" / name).unlink()
        dataset = open_dataset(tmp_path)
        assert dataset.resolution == ""
        first, second = dataset.sequences
        assert (first.name, second.name) == ("0062f687f1", "ffe59ed1c1")
        assert [path.name for path in first.annotations] == ["00000.png", "00001.png"]
        assert len(first.images) == 4
        assert first.is_youtube_vos
        assert "YouTube-VOS" in str(second.why_not_scored())
        assert first.tracker_annotations == first.annotations

    def test_folders_may_be_in_a_folder_named_after_the_split(self, tmp_path: Path) -> None:
        make_folders(tmp_path / "valid", ["dog"], "")
        make_folders(tmp_path / "train", ["bear"], "")
        dataset = open_dataset(tmp_path, split="valid")
        assert dataset.root == tmp_path / "valid"
        assert [sequence.name for sequence in dataset.sequences] == ["dog"]

    def test_davis(self, tmp_path: Path) -> None:
        dataset = open_dataset(make_folders(tmp_path, ["dog"]))
        assert dataset.root == tmp_path
        (dog,) = dataset.sequences
        assert not dog.is_youtube_vos
        assert dog.why_not_scored() is None
        assert dog.tracker_annotations == dog.annotations[:1]

    def test_why_a_sequence_is_not_scored(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["few"], frames=2)
        make_folders(tmp_path, ["first"], frames=5)
        for path in sorted((tmp_path / "Annotations" / "480p" / "first").iterdir())[1:]:
            path.unlink()
        few, first = open_dataset(tmp_path).sequences
        assert "3 are needed" in str(few.why_not_scored())
        assert "1 annotation for 5 frames" in str(first.why_not_scored())

    def test_the_datasets_own_folders(self, tmp_path: Path) -> None:
        dataset = open_dataset(make_folders(tmp_path / "davis", ["dog"]))
        for own in (".", "Annotations", "Annotations/480p/dog", "JPEGImages/new", "ImageSets"):
            assert dataset.is_dataset_folder(tmp_path / "davis" / own), own
        assert not dataset.is_dataset_folder(tmp_path / "davis" / "results")
        assert not dataset.is_dataset_folder(tmp_path)


class TestMissing:
    def test_the_root(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="nowhere: no such folder; it should hold JPEGImages and Annotations"):
            open_dataset(tmp_path / "nowhere")

    def test_the_annotations(self, tmp_path: Path) -> None:
        (tmp_path / "JPEGImages").mkdir()
        with pytest.raises(InputError, match="holds no folder Annotations"):
            open_dataset(tmp_path)

    def test_all_sequences(self, tmp_path: Path) -> None:
        (tmp_path / "Annotations" / "480p").mkdir(parents=True)
        with pytest.raises(InputError, match="480p: holds no folder; it should hold one with annotations"):
            open_dataset(tmp_path)

    def test_all_annotations_of_a_sequence(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog"])
        for path in (tmp_path / "Annotations" / "480p" / "dog").iterdir():
            path.unlink()
        with pytest.raises(InputError, match=r"dog: holds no annotation; it should hold PNG files such as 00000\.png"):
            open_dataset(tmp_path)

    def test_the_year(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="unknown year '2018'; the years are 2016, 2017"):
            open_dataset(make_folders(tmp_path, ["dog"]), year="2018")

    def test_the_images_may_be_missing(self, tmp_path: Path) -> None:
        make_folders(tmp_path, ["dog"])
        (tmp_path / "JPEGImages").rename(tmp_path / "elsewhere")
        (sequence,) = open_dataset(tmp_path).sequences
        assert sequence.images == ()
        assert len(sequence.annotations) == 3


class TestFiles:
    def test_they_are_in_natural_order_and_others_are_skipped(self, tmp_path: Path) -> None:
        folder = make_folders(tmp_path, ["dog"], frames=0) / "Annotations" / "480p" / "dog"
        for name in ("10.png", "9.png", "100.PNG", "._9.png", "notes.txt", "11.jpg"):
            (folder / name).touch()
        (sequence,) = open_dataset(tmp_path).sequences
        assert [path.name for path in sequence.annotations] == ["9.png", "10.png", "100.PNG"]


class TestAnnotations:
    def test_in_2017_the_values_are_those_of_the_file(self, tmp_path: Path) -> None:
        sequence = sequence_of(tmp_path / "dog", flat(0, 1, 7, 255), flat(0, 7, 7, 0))
        assert sequence.first_annotation.tolist() == [[0, 1, 7, 255]]
        assert sequence.read_annotation(1).tolist() == [[0, 7, 7, 0]]
        assert sequence.read_result(sequence.annotations[0]).tolist() == [[0, 1, 7, 255]]

    def test_in_2016_the_object_is_255(self, tmp_path: Path) -> None:
        sequence = sequence_of(tmp_path / "dog", flat(0, 255, 255), flat(255, 0, 0), year="2016")
        assert sequence.first_annotation.tolist() == [[0, 1, 1]]
        assert sequence.read_annotation(1).tolist() == [[1, 0, 0]]

    def test_in_2016_objects_of_2017_become_one_and_void_stays_void(self, tmp_path: Path) -> None:
        sequence = sequence_of(tmp_path / "dog", flat(0, 1, 2, 255), flat(255, 255, 0, 3), year="2016")
        assert sequence.first_annotation.tolist() == [[0, 1, 1, 255]]
        assert sequence.read_annotation(1).tolist() == [[255, 255, 0, 1]]

    def test_in_2016_every_value_of_a_result_is_the_object(self, tmp_path: Path) -> None:
        sequence = sequence_of(tmp_path / "dog", flat(0, 1, 2, 255), year="2016")
        assert sequence.read_result(sequence.annotations[0]).tolist() == [[0, 1, 1, 1]]

    def test_a_first_annotation_without_an_object_is_refused(self, tmp_path: Path) -> None:
        empty, binary = sequence_of(tmp_path / "empty", flat(0, 0)), sequence_of(tmp_path / "binary", flat(0, 255))
        for sequence, words in ((empty, "holds no object$"), (binary, "holds no object; .* give year='2016'$")):
            with pytest.raises(InputError, match=words) as caught:
                _ = sequence.first_annotation
            assert str(sequence.annotations[0]) in str(caught.value)

    def test_an_rgb_image_is_refused_by_name(self, tmp_path: Path) -> None:
        sequence = sequence_of(tmp_path / "dog", flat(1), flat(1))
        Image.new("RGB", (1, 1)).save(sequence.annotations[1])
        with pytest.raises(InputError, match=r"00001\.png is not a mask: its mode is RGB"):
            sequence.read_annotation(1)

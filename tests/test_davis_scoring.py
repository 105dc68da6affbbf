"""J and F over a dataset, and `tools/benchmark.py metrics`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import benchmark
import cv2
import numpy as np
import pytest
from plain_metrics import Metrics, evaluate_plainly

from persam_video.errors import InputError
from persam_video.evaluation.davis.dataset import DavisSequence, open_dataset
from persam_video.evaluation.davis.metrics import contour_accuracy, region_similarity
from persam_video.evaluation.davis.scoring import SequenceScores, evaluate, mean_scores
from persam_video.files.palette_png import write_palette_png

HEIGHT, WIDTH = 40, 60


def blank() -> np.ndarray:
    return np.zeros((HEIGHT, WIDTH), np.uint8)


def boxes(ids: Mapping[int, tuple[int, int]], size: int = 10) -> np.ndarray:
    """A label map with a square for each id at its top left corner."""
    label_map = blank()
    for i, (top, left) in ids.items():
        label_map[top : top + size, left : left + size] = i
    return label_map


def blobs(seed: int, ids: Sequence[int]) -> np.ndarray:
    """A label map of random blobs, some of them cut by the border, with background between."""
    random = np.random.default_rng(seed)
    smooth = np.stack(
        [cv2.GaussianBlur(random.standard_normal((HEIGHT, WIDTH)), (0, 0), 4) for _ in range(len(ids) + 1)]
    )
    label_map: np.ndarray = np.array([0, *ids], np.uint8)[smooth.argmax(axis=0)]
    return label_map


class Data:
    """A dataset and results for it in a folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "davis"
        self.results = folder / "results"

    def add(self, name: str, truths: Sequence[np.ndarray], results: Mapping[int, np.ndarray]) -> Data:
        """Add a sequence, and the predicted masks of some of its frames."""
        (self.root / "Annotations" / "480p" / name).mkdir(parents=True)
        (self.results / name).mkdir(parents=True)
        for index, label_map in enumerate(truths):
            write_palette_png(self.root / "Annotations" / "480p" / name / f"{index:05d}.png", label_map)
        for index, label_map in results.items():
            write_palette_png(self.result(name, index), label_map)
        return self

    def result(self, name: str, index: int) -> Path:
        return self.results / name / f"{index:05d}.png"

    def sequences(self, year: str = "2017") -> tuple[DavisSequence, ...]:
        return open_dataset(self.root, year=year).sequences

    def score(self, *, year: str = "2017", ignore_void: bool = False) -> SequenceScores:
        (scores,) = evaluate(self.sequences(year), self.results, ignore_void=ignore_void)
        return scores


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


@pytest.fixture
def many(data: Data) -> Data:
    """Three sequences of one to five objects, with void, with objects missing in some frames, and with empty frames."""
    for number, (name, ids) in enumerate({"one": [1], "two": [1, 2], "five": [1, 2, 3, 4, 5]}.items()):
        truths = [blobs(100 * number + index, [*ids, 255]) for index in range(9)]
        truths[4] = blobs(100 * number + 50, [1])
        truths[5] = blank()
        truths[6][:] = 1
        results = {index: np.roll(truth, (1, 2), (0, 1)) for index, truth in enumerate(truths)}
        for label_map in results.values():
            label_map[label_map == 255] = 0
        results[3] = blobs(100 * number + 70, ids)
        results[7] = blank()
        data.add(name, truths, results)
    return data


class TestMetrics:
    @pytest.mark.parametrize("ignore_void", [False, True])
    def test_they_equal_those_of_the_reference(self, many: Data, ignore_void: bool) -> None:
        sequences = many.sequences()
        plain = evaluate_plainly(sequences, many.results, ignore_void=ignore_void)
        scores = evaluate(sequences, many.results, ignore_void=ignore_void)
        objects = [one for each in scores for one in each.objects]
        assert [(one.sequence, one.object_id) for one in objects] == list(plain)
        for one in objects:
            metrics = plain[one.sequence, one.object_id]
            for metric, found in (("J", one.j), ("F", one.f)):
                for name, value in asdict(found).items():
                    assert value == pytest.approx(metrics[f"{metric}-{name}"], abs=1e-12)
        assert len({metrics["F-mean"] for metrics in plain.values()}) == 8

    def test_every_frame(self, many: Data) -> None:
        for sequence, scores in zip(many.sequences(), evaluate(many.sequences(), many.results), strict=True):
            assert scores.frame_names == tuple(f"{index:05d}" for index in range(1, 8))
            for column, index in enumerate(range(1, 8)):
                truth = sequence.read_annotation(index)
                found = sequence.read_result(many.result(sequence.name, index))
                for i in scores.object_ids:
                    masks = found == i, truth == i
                    assert scores.j[i - 1, column] == region_similarity(*masks)
                    assert scores.f[i - 1, column] == contour_accuracy(*masks)

    def test_by_hand(self, data: Data) -> None:
        """Squares of 10×10 pixels, one of them predicted 5 pixels to the right: 50 of 150 pixels."""
        truth, found = boxes({1: (5, 5), 2: (25, 25)}), boxes({1: (5, 10), 2: (25, 25)})
        data.add("dog", [truth] * 5, {1: found, 2: found, 3: truth})
        scores = data.score()
        assert scores.j[0] == pytest.approx([1 / 3, 1 / 3, 1])
        assert scores.j[1].tolist() == scores.f[1].tolist() == [1, 1, 1]
        assert scores.objects[0].j.recall == pytest.approx(1 / 3)
        assert scores.objects[0].j.decay == pytest.approx(1 / 3 - 1)
        assert 5 / 9 == pytest.approx(scores.objects[0].j.mean) != scores.objects[0].f.mean
        assert scores.objects[0].j_and_f == (scores.objects[0].j.mean + scores.objects[0].f.mean) / 2
        means = mean_scores(scores.objects)
        assert means["J-Mean"] == pytest.approx(7 / 9)
        assert means["J&F-Mean"] == (means["J-Mean"] + means["F-Mean"]) / 2 == pytest.approx(scores.j_and_f)

    def test_means_are_over_objects_not_over_sequences(self, data: Data) -> None:
        right, wrong = boxes({1: (5, 5), 2: (25, 25)}), boxes({1: (5, 5)})
        data.add("both", [right] * 3, {1: right}).add("one", [wrong] * 3, {1: blank()})
        means = mean_scores([one for each in evaluate(data.sequences(), data.results) for one in each.objects])
        assert list(means) == ["J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"]
        assert means["J-Mean"] == means["F-Recall"] == means["J&F-Mean"] == pytest.approx(2 / 3)
        assert means["J-Decay"] == 0

    def test_the_number_of_threads_does_not_matter(self, many: Data) -> None:
        alone = evaluate(many.sequences(), many.results, threads=1)
        for threads in (2, 7, None):
            together = evaluate(many.sequences(), many.results, threads=threads)
            assert [each.name for each in together] == ["five", "one", "two"]
            for one, other in zip(alone, together, strict=True):
                assert np.array_equal(one.j, other.j)
                assert np.array_equal(one.f, other.f)
        with pytest.raises(InputError, match="threads=0 is too few; give at least 1"):
            evaluate(many.sequences(), many.results, threads=0)

    def test_opencvs_number_of_threads_is_restored(self, many: Data) -> None:
        before = cv2.getNumThreads()
        try:
            cv2.setNumThreads(3)
            evaluate(many.sequences(), many.results)
            many.result("one", 4).write_bytes(b"damaged")
            with pytest.raises(InputError):
                evaluate(many.sequences(), many.results)
            assert cv2.getNumThreads() == 3
        finally:
            cv2.setNumThreads(before)


class TestObjects:
    def test_one_that_is_missing_from_the_results_has_empty_masks(self, data: Data) -> None:
        truth = boxes({1: (5, 5), 2: (25, 25)})
        data.add("dog", [truth, truth, boxes({1: (5, 5)}), truth], {1: boxes({1: (5, 5)}), 2: boxes({1: (5, 5)})})
        scores = data.score()
        assert scores.j[1].tolist() == scores.f[1].tolist() == [0, 1]

    def test_ids_that_the_first_annotation_skips_are_scored(self, data: Data) -> None:
        truth = boxes({1: (5, 5), 3: (25, 25)})
        data.add("dog", [truth] * 4, {1: truth, 2: boxes({1: (5, 5), 2: (25, 5), 3: (25, 25)})})
        scores = data.score()
        assert scores.object_ids == (1, 2, 3)
        assert scores.j[1].tolist() == scores.f[1].tolist() == [1, 0]
        assert scores.j[2].tolist() == [1, 1]

    def test_ids_that_appear_later_are_not_scored(self, data: Data) -> None:
        first, later = boxes({1: (5, 5)}), boxes({1: (5, 5), 2: (25, 25)})
        data.add("dog", [first, later, later, later], {1: first, 2: first})
        scores = data.score()
        assert scores.object_ids == (1,)
        assert scores.j.tolist() == [[1, 1]]

    def test_ids_above_the_highest_are_refused_by_name(self, data: Data) -> None:
        truth = boxes({1: (5, 5), 2: (25, 25)})
        data.add("dog", [truth] * 4, {1: truth, 2: boxes({2: (5, 5), 4: (25, 5), 3: (25, 25)})})
        with pytest.raises(InputError, match=r"holds the ids 3, 4, but the annotations' highest id is 2$") as caught:
            data.score()
        assert str(caught.value).startswith(f"{data.result('dog', 2)}: ")
        write_palette_png(data.result("dog", 2), boxes({3: (0, 0)}))
        with pytest.raises(InputError, match="holds the id 3, but"):
            data.score()

    def test_masks_of_0_and_255_get_a_hint(self, data: Data) -> None:
        truth = boxes({1: (5, 5)})
        data.add("dog", [truth] * 3, {1: truth * 255})
        with pytest.raises(InputError, match=r"holds the id 255, .*; for masks of 0 and 255 give year='2016'$"):
            data.score()


class TestVoid:
    @pytest.fixture
    def voided(self, data: Data) -> Data:
        """An object of 100 pixels; 90 of them and 30 of 40 void pixels are predicted."""
        truth = boxes({1: (10, 10)})
        truth[10:20, 20:24] = 255
        found = blank()
        found[10:20, 11:20] = found[10:20, 20:23] = 1
        return data.add("dog", [truth] * 3, {1: found})

    def test_it_is_background(self, voided: Data) -> None:
        scores = voided.score()
        assert scores.j.tolist() == [[90 / 130]]
        truth, found = blank() > 0, blank() > 0
        truth[10:20, 10:20] = found[10:20, 11:23] = True
        assert scores.f.tolist() == [[contour_accuracy(found, truth)]]

    def test_it_can_be_ignored(self, voided: Data) -> None:
        scores = voided.score(ignore_void=True)
        assert scores.j.tolist() == [[90 / 100]]
        truth, found = blank() > 0, blank() > 0
        truth[10:20, 10:20] = found[10:20, 11:20] = True
        assert scores.f.tolist() == [[contour_accuracy(found, truth)]]


class Test2016:
    def test_one_object_of_0_and_255(self, data: Data) -> None:
        truth, found = boxes({255: (5, 5)}), boxes({1: (5, 10)})
        data.add("dog", [truth] * 5, {1: found, 2: found * 255, 3: truth})
        scores = data.score(year="2016")
        assert scores.object_ids == (1,)
        assert scores.j[0] == pytest.approx([1 / 3, 1 / 3, 1])

    def test_the_year_must_be_set(self, data: Data) -> None:
        truth = boxes({255: (5, 5)})
        data.add("dog", [truth] * 3, {1: truth})
        with pytest.raises(InputError, match=r"00000\.png: holds no object; .* give year='2016'"):
            data.score()

    def test_several_objects_become_one_and_void_stays_void(self, data: Data) -> None:
        truth = boxes({1: (5, 5), 2: (5, 15), 255: (25, 25)})
        data.add("dog", [truth] * 3, {1: boxes({1: (5, 5), 2: (25, 25)})})
        assert data.score(year="2016").j.tolist() == [[100 / 300]]
        assert data.score(year="2016", ignore_void=True).j.tolist() == [[100 / 200]]

    def test_they_equal_those_of_the_reference(self, data: Data) -> None:
        truth = boxes({1: (5, 5), 2: (5, 15), 255: (25, 25)})
        data.add("binary", [boxes({255: (5, 5)})] * 4, {1: boxes({1: (6, 8)}), 2: boxes({255: (5, 5)})})
        data.add("merged", [truth] * 4, {1: boxes({1: (5, 5), 2: (25, 25)}), 2: boxes({255: (3, 16)})})
        sequences = data.sequences("2016")
        for ignore_void in (False, True):
            plain = evaluate_plainly(sequences, data.results, ignore_void=ignore_void)
            for scores in evaluate(sequences, data.results, ignore_void=ignore_void):
                (one,) = scores.objects
                assert one.j.mean == pytest.approx(plain[scores.name, 1]["J-mean"], abs=1e-12)
                assert one.f.mean == pytest.approx(plain[scores.name, 1]["F-mean"], abs=1e-12)


class TestMissing:
    def test_the_first_and_the_last_frame_may_be_missing(self, data: Data) -> None:
        truth = boxes({1: (5, 5)})
        data.add("dog", [truth] * 4, {1: truth, 2: truth})
        assert data.score().frame_names == ("00001", "00002")

    def test_the_first_and_the_last_frame_are_ignored(self, data: Data) -> None:
        truth = boxes({1: (5, 5)})
        data.add("dog", [truth] * 4, {0: boxes({9: (0, 0)}), 1: truth, 2: truth, 3: blank()})
        assert data.score().j_and_f == 1

    def test_another_frame_is_named(self, data: Data) -> None:
        truth = boxes({1: (5, 5)})
        data.add("dog", [truth] * 5, {1: truth, 3: truth})
        with pytest.raises(
            InputError, match=f"^{re.escape(str(data.result('dog', 2)))}: no such file; there must be a mask for"
        ):
            data.score()

    def test_a_sequence_is_named_before_anything_is_read(self, data: Data) -> None:
        truth = boxes({1: (5, 5)})
        data.add("cat", [truth] * 3, {1: truth}).add("dog", [truth] * 3, {})
        (data.results / "dog").rmdir()
        data.result("cat", 1).write_bytes(b"damaged")
        with pytest.raises(InputError, match="holds no masks of dog; it should hold the folder dog"):
            evaluate(data.sequences(), data.results)

    def test_too_few_annotations(self, data: Data) -> None:
        truth = boxes({1: (5, 5)})
        data.add("dog", [truth] * 2, {0: truth, 1: truth})
        with pytest.raises(InputError, match="dog: holds 2 annotations; the first and the last do not count, so 3"):
            data.score()

    def test_annotations_of_some_of_the_frames(self, data: Data) -> None:
        truth = boxes({1: (5, 5)})
        data.add("dog", [truth] * 3, {1: truth})
        images = data.root / "JPEGImages" / "480p" / "dog"
        images.mkdir(parents=True)
        for index in range(4):
            (images / f"{index:05d}.jpg").touch()
        with pytest.raises(InputError, match="holds 3 annotations for 4 frames; all frames must be annotated"):
            data.score()

    def test_a_mask_of_another_size_is_named_with_both(self, data: Data) -> None:
        truth = boxes({1: (5, 5)})
        data.add("dog", [truth] * 4, {1: truth, 2: truth[:30]})
        with pytest.raises(InputError, match=r"00002\.png: is 60×30 pixels, its annotation is 60×40") as caught:
            data.score()
        assert str(data.result("dog", 2)) in str(caught.value)

    def test_damaged_files_are_named(self, data: Data) -> None:
        truth = boxes({1: (5, 5)})
        data.add("dog", [truth] * 4, {1: truth, 2: truth})
        data.result("dog", 2).write_bytes(b"damaged")
        with pytest.raises(InputError, match=r"results.dog.00002\.png: cannot be read as an image"):
            data.score()
        (data.root / "Annotations" / "480p" / "dog" / "00001.png").write_bytes(b"damaged")
        with pytest.raises(InputError, match=r"Annotations.480p.dog.00001\.png: cannot be read as an image"):
            data.score()


class TestBenchmark:
    def test_it_measures_and_compares(self, many: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (many.results / "one").rename(tmp_path / "elsewhere")
        file = tmp_path / "out" / "a.json"
        options = ["--davis", many.root, "--results", many.results, "--repeat", 3, "--json", file]
        assert benchmark.main(["metrics", *map(str, options)]) == 0
        printed = capsys.readouterr().out
        assert "2 sequences, 14 frames, 7 objects; 3 rounds, medians" in printed
        report = json.loads(file.read_text(encoding="utf-8"))
        assert report["sequences"] == ["five", "two"]
        assert report["frames"] == 14
        assert report["objects·frames"] == 49
        assert report["largest_difference"] == 0
        seconds = report["seconds"]
        ratios = sorted(a / b for a, b in zip(seconds["plain"], seconds["persam_video"], strict=True))
        assert list(report["ratio"].values()) == [ratios[1], ratios[0], ratios[2]]
        for name, each in seconds.items():
            assert report["rates"][name]["frames/s"] == pytest.approx(14 / sorted(each)[1])
            assert f"{report['rates'][name]['objects·frames/s']:.1f}" in printed

    def test_a_difference_is_an_error(
        self, many: Data, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def slightly_off(
            sequences: Sequence[DavisSequence], results: Path, *, ignore_void: bool
        ) -> dict[tuple[str, int], Metrics]:
            metrics = evaluate_plainly(sequences, results, ignore_void=ignore_void)
            metrics["five", 5]["F-decay"] += 2e-6
            return metrics

        monkeypatch.setattr(benchmark, "evaluate_plainly", slightly_off)
        options = ["metrics", "--davis", str(many.root), "--results", str(many.results), "--repeat", "1"]
        assert benchmark.main(options) == 1
        assert "the metrics differ by 2e-06" in capsys.readouterr().err

    def test_bad_input_is_one_line(self, many: Data, capsys: pytest.CaptureFixture[str]) -> None:
        nowhere = many.root / "nowhere"
        for root, results, words in (
            (nowhere, many.results, "nowhere: no such folder"),
            (many.root, nowhere, "nowhere: no such folder"),
            (many.root, many.root, "holds masks of no sequence; it should hold folders such as five, one, two"),
        ):
            assert benchmark.main(["metrics", "--davis", str(root), "--results", str(results)]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("benchmark.py: error: ")
            assert words in line
        with pytest.raises(SystemExit) as caught:
            benchmark.main(["metrics", "--davis", "a", "--results", "b", "--repeat", "0"])
        assert caught.value.code == 2
        assert "'0' is not a number from 1 up" in capsys.readouterr().err

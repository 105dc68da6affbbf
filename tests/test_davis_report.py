"""HTML report of an evaluation, read back with a parser of its own."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from persam_video.drawing import overlay_palette
from persam_video.errors import InputError, OutputError
from persam_video.evaluation.davis.dataset import DavisSequence
from persam_video.evaluation.davis.report import write_report
from persam_video.evaluation.davis.scoring import SequenceScores
from persam_video.files.palette_png import write_palette_png

HEIGHT, WIDTH = 128, 192
TRUTH = {1: np.s_[8:56, 8:72], 2: np.s_[72:120, 8:72]}  # true masks by object id
PREDICTED = {1: np.s_[8:56, 120:184], 2: np.s_[72:120, 120:184]}  # predicted masks
VOID = np.s_[8:120, 80:112]


def shade(index: int) -> int:
    """Grey value of a frame, which identifies it."""
    return 40 + 25 * index


def make_sequence(root: Path, name: str = "dog", *, frames: int = 6, ids: tuple[int, ...] = (1,)) -> DavisSequence:
    """A sequence with images, annotations with void, and masks in ``<root>/results``."""
    folders = [root / kind / name for kind in ("JPEGImages", "Annotations", "results")]
    for folder in folders:
        folder.mkdir(parents=True)
    images, annotations = [], []
    for index in range(frames):
        image, annotation, mask = (folder / f"{index:05d}.png" for folder in folders)
        Image.new("RGB", (WIDTH, HEIGHT), (shade(index),) * 3).save(image)
        truth, predicted = np.zeros((2, HEIGHT, WIDTH), np.uint8)
        truth[VOID] = 255
        for i in ids:
            truth[TRUTH[i]], predicted[PREDICTED[i]] = i, i
        write_palette_png(annotation, truth)
        write_palette_png(mask, predicted)
        images.append(image)
        annotations.append(annotation)
    return DavisSequence(name, tuple(images), tuple(annotations), "2017")


def scores_of(sequence: DavisSequence, j: list[list[float]], f: list[list[float]] | None = None) -> SequenceScores:
    """Scores of J and F, objects × frames."""
    names = tuple(path.stem for path in sequence.annotations[1:-1])
    return SequenceScores(sequence.name, names, j=np.array(j), f=np.array(f or j))


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parents: list[Element]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Elements of a page; fails if one is not closed."""

    source: str
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []
        self.feed(self.source)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"twice the same attribute: {attrs}"
        element = Element(tag, {name: value or "" for name, value in attrs}, list(self._open))
        self.elements.append(element)
        if tag not in ("meta", "img"):
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def find(self, tag: str, *, inside: str | None = None, **attributes: str) -> list[Element]:
        """Elements of a tag with these attributes (``class_`` for class), inside another tag."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            element
            for element in self.elements
            if element.tag == tag
            and all(element.attributes.get(name) == value for name, value in wanted.items())
            and (inside is None or inside in [parent.tag for parent in element.parents])
        ]

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return [" ".join(element.text.split()) for element in self.find(tag, **attributes)]

    def images(self) -> dict[str, np.ndarray]:
        """Images by their alt texts."""
        found = {}
        for element in self.find("img"):
            kind, data = element.attributes["src"].split(",")
            assert kind == "data:image/jpeg;base64"
            with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
                assert image.format == "JPEG"
                size = int(element.attributes["width"]), int(element.attributes["height"])
                assert image.size == size
                found[element.attributes["alt"]] = np.array(image.convert("RGB"))
        return found

    def rows(self) -> list[list[str]]:
        """Cells of the table, row by row; a cell that spans rows is in the first one only."""
        return [
            [each.text for each in self.elements if row in each.parents and each.tag in ("th", "td")]
            for row in self.find("tr")
        ]


def report(
    root: Path,
    sequences: list[DavisSequence],
    scores: list[SequenceScores],
    *,
    title: str = "val",
    about: dict[str, str] | None = None,
    frames_per_second: dict[str, float] | None = None,
) -> Page:
    path = root / "report.html"
    write_report(
        path, sequences, scores, root / "results", title=title, about=about or {}, frames_per_second=frames_per_second
    )
    return Page(path.read_text(encoding="utf-8"))


def near(pixel: np.ndarray, wanted: float | np.ndarray, tolerance: int = 12) -> bool:
    return bool(np.abs(pixel.astype(int) - wanted).max() <= tolerance)


def has_object(image: np.ndarray, region: tuple[slice, slice], object_id: int, grey: int) -> bool:
    """Whether an object's colour is drawn over grey in the lower right of a region, where its id is not drawn."""
    pixel = image[region][-16:-6, -16:-6].mean(axis=(0, 1))
    blended = 0.55 * grey + 0.45 * overlay_palette()[object_id]
    assert near(pixel, blended) != near(pixel, grey), pixel
    return near(pixel, blended)


def two_sequences(root: Path) -> tuple[list[DavisSequence], list[SequenceScores]]:
    """``good`` with one object, ``bad`` with two."""
    sequences = [make_sequence(root, "good", frames=4), make_sequence(root, "bad", frames=4, ids=(1, 2))]
    first = scores_of(sequences[0], [[0.9, 0.7]], [[1.0, 0.8]])
    return sequences, [first, scores_of(sequences[1], [[0.2, 0.6], [0.7, 0.5]])]


class TestPage:
    def test_is_self_contained(self, tmp_path: Path) -> None:
        page = report(tmp_path, *two_sequences(tmp_path), about={"model": "vit_t"})
        assert page.source.startswith("<!DOCTYPE html>")
        assert page.find("html", lang="en")
        assert page.find("meta", inside="head", charset="utf-8")
        assert page.find("meta", inside="head", name="viewport")
        assert not {"script", "link", "iframe", "object", "base"} & {element.tag for element in page.elements}
        assert "://" not in page.source
        assert not re.search(r"url\(|@import", page.source)
        ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
        assert len(ids) == len(set(ids))
        links = [element.attributes["href"] for element in page.elements if "href" in element.attributes]
        assert links
        assert {link[:1] for link in links} == {"#"}
        assert {link[1:] for link in links} <= set(ids)
        sources = [element.attributes["src"] for element in page.elements if "src" in element.attributes]
        assert len(sources) == 4  # of two frames the worst is also the lower median
        assert all(source.startswith("data:image/jpeg;base64,") for source in sources)

    def test_names_and_texts_are_escaped(self, tmp_path: Path) -> None:
        name, text = "a\"b' <i>&amp;", "<script>x</script> & \"'"
        sequence = make_sequence(tmp_path, name, frames=4, ids=(1, 2))
        renamed = [path.rename(path.with_name(f"<u>&{path.name}")) for path in sequence.annotations]
        for path in (tmp_path / "results" / name).iterdir():
            path.rename(path.with_name(f"<u>&{path.name}"))
        sequence = DavisSequence(name, (), tuple(renamed), "2017")
        scores = scores_of(sequence, [[0.5, 0.6], [0.5, 0.6]])
        page = report(tmp_path, [sequence], [scores], title=text, about={text: text}, frames_per_second={name: 1.0})
        assert page.texts("h1") == page.texts("dd", inside="dl")[:1] == page.texts("dt")[:1] == [text]
        assert page.texts("title") == [f"{text}: J&F 0.550"]
        assert page.texts("a", inside="th") == [name]
        assert page.texts("h2")[0].startswith(name)
        assert page.texts("h3") == ["Worst and median frame: <u>&00001, J&F 0.500"]
        assert next(iter(page.images())) == f"{name}, frame <u>&00001: prediction"
        assert "<u>&00002" in page.texts("text")
        assert page.find("svg", class_="plot")[0].attributes["aria-label"] == f"J&F of {name}, frame by frame"
        assert not page.find("script")
        assert not page.find("u")

    def test_about_is_omitted_when_empty(self, tmp_path: Path) -> None:
        data = two_sequences(tmp_path)
        assert report(tmp_path, *data, about={"model": "vit_t", "date": "today"}).texts("dd")[:2] == ["vit_t", "today"]
        assert not report(tmp_path, *data).find("dl", class_="about")


class TestTable:
    def test_overall_scores_are_means_over_objects(self, tmp_path: Path) -> None:
        page = report(tmp_path, *two_sequences(tmp_path))
        overall = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
        assert overall == {
            "J&F-Mean": "0.617",  # of 0.85, 0.4 and 0.6: not 0.675, the mean over sequences
            "J-Mean": "0.600",
            "J-Recall": "0.667",  # 0.5 is not above 0.5
            "J-Decay": "0.000",
            "F-Mean": "0.633",
            "F-Recall": "0.667",
            "F-Decay": "0.000",
        }

    def test_table_has_a_row_for_each_object_and_the_mean_of_several(self, tmp_path: Path) -> None:
        page = report(tmp_path, *two_sequences(tmp_path))
        head, *rows = page.rows()
        metrics = ["J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"]
        assert head == ["sequence", "object", *metrics]
        assert [row[:-5] for row in rows] == [
            ["good", "1", "0.850", "0.800"],
            ["bad", "mean", "0.500", "0.500"],
            ["1", "0.400", "0.400"],
            ["2", "0.600", "0.600"],
        ]
        assert [cell.attributes["style"] for cell in page.find("td", class_="score")] == [
            f"--value:{value}" for value in ("0.850", "0.500", "0.400", "0.600")
        ]

    def test_minus_sign_but_no_negative_zero(self, tmp_path: Path) -> None:
        sequence = make_sequence(tmp_path, frames=10)
        scores = scores_of(sequence, [[0.1] * 4 + [0.9] * 4], [[0.5] * 4 + [0.5002] * 4])
        [_, row] = report(tmp_path, [sequence], [scores]).rows()
        assert row[5] == "−0.800"
        assert row[8] == "0.000"

    def test_worst_sequence_comes_first_and_is_linked(self, tmp_path: Path) -> None:
        page = report(tmp_path, *two_sequences(tmp_path))
        assert [text.removesuffix(" ↑ table") for text in page.texts("h2")] == ["bad J&F 0.500", "good J&F 0.850"]
        links = {link.text: link.attributes["href"][1:] for link in page.find("a", inside="th")}
        assert list(links) == ["good", "bad"]
        for name, target in links.items():
            [heading] = [h2 for h2 in page.find("h2") if h2.parents[-1].attributes.get("id") == target]
            assert heading.text.startswith(name)

    def test_speed_is_optional(self, tmp_path: Path) -> None:
        data = two_sequences(tmp_path)
        assert not any("frames/s" in cell for row in report(tmp_path, *data).rows() for cell in row)
        head, *rows = report(tmp_path, *data, frames_per_second={"bad": 1.5}).rows()
        assert head[-1] == "frames/s"
        assert [len(row) for row in rows] == [10, 10, 8, 8]  # one cell spans the rows of a sequence
        assert [row[-1] for row in rows[:2]] == ["–", "1.50"]


class TestShownFrames:
    @pytest.mark.parametrize(
        ("values", "worst", "median"),
        [
            ([0.9, 0.2, 0.5, 0.7], 1, 2),  # the lower of the two in the middle
            ([0.9, 0.2, 0.5, 0.7, 0.1], 4, 2),
            ([0.5, 0.1, 0.1, 0.9], 1, 2),  # the first of equal ones
            ([0.5, 0.5, 0.5], 0, 1),
        ],
    )
    def test_worst_and_median(self, tmp_path: Path, values: list[float], worst: int, median: int) -> None:
        sequence = make_sequence(tmp_path, frames=len(values) + 2)
        page = report(tmp_path, [sequence], [scores_of(sequence, [values])])
        assert page.texts("h3") == [
            f"Worst frame: {worst + 1:05d}, J&F {values[worst]:.3f}",
            f"Median frame: {median + 1:05d}, J&F {values[median]:.3f}",
        ]
        images = page.images()
        assert list(images) == [
            f"dog, frame {index + 1:05d}: {kind}"
            for index in (worst, median)
            for kind in ("prediction", "ground truth")
        ]
        for image, index in zip(images.values(), (worst, worst, median, median), strict=True):
            assert near(image[-2, -2], shade(index + 1), 3)
        for kind, index in (("worst", worst), ("median", median)):
            [line] = page.find("line", class_=kind)
            for end in ("x1", "x2"):
                assert float(line.attributes[end].rstrip("%")) == pytest.approx(
                    100 * index / (len(values) - 1), abs=0.01
                )
            assert page.texts("text", class_=kind) == [kind]

    def test_frames_are_ranked_by_the_mean_of_j_and_f_over_objects(self, tmp_path: Path) -> None:
        sequence = make_sequence(tmp_path, frames=5, ids=(1, 2))
        j, f = [[0.0, 0.5, 0.6], [0.9, 0.4, 0.1]], [[0.7, 0.3, 0.6], [0.9, 0.4, 0.5]]
        page = report(tmp_path, [sequence], [scores_of(sequence, j, f)])
        assert page.texts("h3") == ["Worst frame: 00002, J&F 0.400", "Median frame: 00003, J&F 0.450"]

    def test_prediction_left_and_ground_truth_right(self, tmp_path: Path) -> None:
        sequence = make_sequence(tmp_path, ids=(1, 2))
        page = report(tmp_path, [sequence], [scores_of(sequence, [[0.1, 0.5, 0.5, 0.9]] * 2)])
        assert page.texts("figcaption") == ["prediction", "ground truth"] * 2
        predicted, truth, *_ = page.images().values()
        for i in (1, 2):
            assert has_object(predicted, PREDICTED[i], i, shade(1))
            assert not has_object(predicted, TRUTH[i], i, shade(1))
            assert has_object(truth, TRUTH[i], i, shade(1))
            assert not has_object(truth, PREDICTED[i], i, shade(1))

    def test_void_is_not_drawn(self, tmp_path: Path) -> None:
        sequence = make_sequence(tmp_path)
        page = report(tmp_path, [sequence], [scores_of(sequence, [[0.1, 0.5, 0.5, 0.9]])])
        truth = page.images()["dog, frame 00001: ground truth"]
        assert near(truth[VOID], shade(1))

    def test_a_single_frame_is_shown_once(self, tmp_path: Path) -> None:
        sequence = make_sequence(tmp_path, frames=3)
        page = report(tmp_path, [sequence], [scores_of(sequence, [[0.4]])])
        assert page.texts("h3") == ["Worst and median frame: 00001, J&F 0.400"]
        assert len(page.images()) == 2
        assert [line.attributes["points"] for line in page.find("polyline")] == ["0,0.600 1,0.600"]
        assert len(page.find("line", class_="worst")) == 1
        assert page.texts("text").count("00001") == 1

    def test_grey_without_image_files(self, tmp_path: Path) -> None:
        whole = make_sequence(tmp_path)
        sequence = DavisSequence(whole.name, (), whole.annotations, whole.year)
        page = report(tmp_path, [sequence], [scores_of(sequence, [[0.1, 0.5, 0.5, 0.9]])])
        for image in page.images().values():
            assert image.shape == (HEIGHT, WIDTH, 3)
            assert near(image[-2, -2], 128, 2)
        assert has_object(page.images()["dog, frame 00001: ground truth"], TRUTH[1], 1, 128)

    def test_image_files_are_matched_by_name(self, tmp_path: Path) -> None:
        whole = make_sequence(tmp_path)
        sequence = DavisSequence(whole.name, whole.images[2:], whole.annotations, whole.year)
        page = report(tmp_path, [sequence], [scores_of(sequence, [[0.8, 0.7, 0.1, 0.9]])])
        assert near(page.images()["dog, frame 00003: prediction"][-2, -2], shade(3), 3)

    def test_year_2016(self, tmp_path: Path) -> None:
        sequence = make_sequence(tmp_path)
        for folder in ("Annotations", "results"):  # its files hold 0 and 255
            for path in (tmp_path / folder / "dog").iterdir():
                with Image.open(path) as image:
                    write_palette_png(path, np.where(np.array(image) == 1, 255, 0).astype(np.uint8))
        sequence = DavisSequence("dog", sequence.images, sequence.annotations, "2016")
        page = report(tmp_path, [sequence], [scores_of(sequence, [[0.1, 0.5, 0.5, 0.9]])])
        predicted, truth, *_ = page.images().values()
        assert has_object(predicted, PREDICTED[1], 1, shade(1))
        assert has_object(truth, TRUTH[1], 1, shade(1))

    @pytest.mark.parametrize("detailed", [False, True])
    def test_large_images_are_reduced(self, tmp_path: Path, detailed: bool) -> None:
        sequence = make_sequence(tmp_path, frames=4)
        noise = np.random.default_rng(0).integers(0, 255, (180, 320, 3), np.uint8)
        image = Image.fromarray(noise) if detailed else Image.new("RGB", (320, 180), "grey")
        for path in sequence.images:
            image.resize((1280, 720)).save(path)
        for path in (*sequence.annotations, *(tmp_path / "results" / "dog").iterdir()):
            write_palette_png(path, np.zeros((720, 1280), np.uint8))
        page = report(tmp_path, [sequence], [scores_of(sequence, [[0.1, 0.9]])])
        widths = {image.shape[1] for image in page.images().values()}
        assert widths == {320 if detailed else 640}
        assert {image.shape[0] for image in page.images().values()} == {180 if detailed else 360}


class TestPlot:
    def test_a_line_for_each_object_in_its_colour(self, tmp_path: Path) -> None:
        sequence = make_sequence(tmp_path, frames=5, ids=(1, 2))
        j, f = [[0.0, 0.5, 1.0], [0.9, 0.4, 0.25]], [[0.0, 0.7, 1.0], [0.9, 0.4, 0.75]]
        page = report(tmp_path, [sequence], [scores_of(sequence, j, f)])
        first, second = page.find("polyline")
        assert first.attributes["points"] == "0,1.000 1,0.400 2,0.000"
        assert second.attributes["points"] == "0,0.100 1,0.600 2,0.500"
        colours = ["#{:02x}{:02x}{:02x}".format(*overlay_palette()[i]) for i in (1, 2)]
        assert [line.attributes["stroke"] for line in (first, second)] == colours
        assert first.parents[-1].attributes["viewbox"] == "0 0 2 1"
        assert page.texts("li") == ["object 1: 0.533", "object 2: 0.600"]
        assert [swatch.attributes["style"] for swatch in page.find("i")] == [f"background:{c}" for c in colours]

    def test_axes_and_no_legend_for_one_object(self, tmp_path: Path) -> None:
        sequence = make_sequence(tmp_path)
        page = report(tmp_path, [sequence], [scores_of(sequence, [[0.1, 0.5, 0.5, 0.9]])])
        assert not page.find("li")
        axis = {text.text: text.attributes["y"] for text in page.find("text") if "class" not in text.attributes}
        assert axis == {"0": "100%", "0.5": "50%", "1": "0%", "00001": "100%", "00004": "100%"}
        assert [line.attributes["y1"] for line in page.find("line", class_="grid")] == ["100%", "50%", "0%"]

    def test_labels_of_adjacent_frames_do_not_overlap(self, tmp_path: Path) -> None:
        sequence = make_sequence(tmp_path)
        page = report(tmp_path, [sequence], [scores_of(sequence, [[0.9, 0.5, 0.1, 0.9]])])
        [median], [worst] = (page.find("text", class_=kind) for kind in ("median", "worst"))
        assert median.attributes["x"] < worst.attributes["x"]
        assert median.attributes["text-anchor"] == "end"
        assert "text-anchor" not in worst.attributes


class TestFile:
    def test_makes_folders_and_replaces_an_old_report(self, tmp_path: Path) -> None:
        sequences, scores = two_sequences(tmp_path)
        path = tmp_path / "new" / "folder" / "report.html"
        for title in ("old", "new"):
            write_report(path, sequences, scores, tmp_path / "results", title=title, about={})
            assert Page(path.read_text(encoding="utf-8")).texts("h1") == [title]
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("where", ["a file/report.html", "a folder"])
    def test_unwritable(self, tmp_path: Path, where: str) -> None:
        sequences, scores = two_sequences(tmp_path)
        target = tmp_path / "target"
        (target / "a folder").mkdir(parents=True)
        (target / "a file").write_text("")
        before = sorted(target.rglob("*"))
        with pytest.raises(OutputError, match=re.escape(f"{target / where} cannot be written (")) as caught:
            write_report(target / where, sequences, scores, tmp_path / "results", title="val", about={})
        assert "\n" not in str(caught.value)
        assert sorted(target.rglob("*")) == before

    @pytest.mark.parametrize("kind", ["JPEGImages", "Annotations", "results"])
    def test_unreadable_images(self, tmp_path: Path, kind: str) -> None:
        sequences, scores = two_sequences(tmp_path)
        damaged = tmp_path / kind / "good" / "00002.png"  # the worst frame
        damaged.write_bytes(damaged.read_bytes()[:40])
        target = tmp_path / "target"
        with pytest.raises(InputError, match=re.escape(f"{damaged}: cannot be read as an image")):
            write_report(target / "report.html", sequences, scores, tmp_path / "results", title="val", about={})
        assert not target.exists()

    def test_scores_of_other_sequences(self, tmp_path: Path) -> None:
        sequences, scores = two_sequences(tmp_path)
        with pytest.raises(ValueError, match="same order"):
            write_report(tmp_path / "report.html", sequences, scores[::-1], tmp_path / "results", title="val", about={})

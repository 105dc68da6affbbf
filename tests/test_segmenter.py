"""Segmentation of images from references: `Segmenter` and `persam-segment`."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from colour_sam import BLUE, GREEN, RED, ColourSam, Square, draw
from PIL import Image

from persam_video import InputError, Sam, Segmenter
from persam_video.cli import segment as cli
from persam_video.errors import AnnotationError
from persam_video.evaluation.davis.metrics import region_similarity
from persam_video.files.palette_png import read_palette_png, write_palette_png

REFERENCE = [Square(1, RED, left=8, top=16), Square(4, GREEN, left=120, top=60)]
OTHER = [Square(4, GREEN, left=20, top=30, side=40), Square(1, RED, left=180, top=90, side=24)]
PERSEG = Path(__file__).parents[1].parent / "shared" / "perseg_mini"


@pytest.fixture
def colours() -> Sam:
    return cast(Sam, ColourSam())


class TestSegmenter:
    @pytest.mark.parametrize("method", ["persam-f", "persam"])
    def test_objects_are_found_in_another_image(self, colours: Sam, method: str) -> None:
        segmenter = Segmenter(colours, [draw(REFERENCE, 0)], method=method)
        image, truth = draw(OTHER, 0)
        result = segmenter.segment(image)
        assert segmenter.object_ids == (1, 4)
        assert result.visible == {1: True, 4: True}
        for i in (1, 4):
            assert region_similarity(result.mask(i), truth == i) > 0.8

    def test_images_are_independent(self, colours: Sam) -> None:
        segmenter = Segmenter(colours, [draw(REFERENCE, 0)])
        first = segmenter.segment(draw(OTHER, 0)[0])
        segmenter.segment(draw(REFERENCE, 0)[0])
        np.testing.assert_array_equal(segmenter.segment(draw(OTHER, 0)[0]).label_map, first.label_map)

    def test_several_references_are_pooled(self, colours: Sam) -> None:
        red, other = (200, 40, 40), (160, 80, 40)
        references = [draw([Square(1, colour, left=30, top=30)], 0) for colour in (red, other)]
        pooled = Segmenter(colours, references)._targets.semantics
        alone = [Segmenter(colours, [each])._targets.semantics for each in references]
        assert np.allclose(pooled, (alone[0] + alone[1]) / 2)

    def test_invalid_input_is_named(self, colours: Sam) -> None:
        reference, other = draw(REFERENCE, 0), draw([Square(2, BLUE, left=8, top=8)], 0)
        with pytest.raises(InputError, match="unknown method 'xmem'; for images the methods are persam, persam-f"):
            Segmenter(colours, [reference], method="xmem")
        with pytest.raises(InputError, match="no reference"):
            Segmenter(colours, [])
        with pytest.raises(AnnotationError, match="reference 2 holds the objects 2, that of the first 1, 4"):
            Segmenter(colours, [reference, other])
        with pytest.raises(AnnotationError, match="the mask of reference 1"):
            Segmenter(colours, [(reference[0], np.zeros((5, 5), int))])


class TestCommand:
    @pytest.fixture
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colours: Sam) -> Path:
        for name, squares in (("ref", REFERENCE), ("a", OTHER), ("b", REFERENCE)):
            image, label_map = draw(squares, 0)
            Image.fromarray(image).save(tmp_path / f"{name}.png")
            write_palette_png(tmp_path / f"{name}_mask.png", label_map)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(cli, "load_model", lambda options: colours)
        return tmp_path

    def assert_refused(self, capsys: pytest.CaptureFixture[str], arguments: list[str], *words: str) -> None:
        with pytest.raises(SystemExit) if "required" in words else nullcontext():
            assert cli.main(arguments) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("persam-segment")
        assert len(error.splitlines()) == 1
        assert all(word in error for word in words), error

    def test_masks_and_overlays(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = ["--reference", "ref.png", "--mask", "ref_mask.png", "--out", "out", "--quiet"]
        assert cli.main([*options[:4], "a.png", "b.png", *options[4:]]) == 0
        for name in ("a", "b"):
            truth = read_palette_png(here / f"{name}_mask.png")
            found = read_palette_png(here / "out" / "masks" / f"{name}.png")
            assert all(region_similarity(found == i, truth == i) > 0.8 for i in (1, 4))
            assert Image.open(here / "out" / "overlays" / f"{name}.jpg").size == (256, 144)
        assert capsys.readouterr().out == ""
        self.assert_refused(capsys, ["a.png", *options], "a.jpg exists already", "--overwrite")
        assert cli.main(["a.png", *options, "--overwrite"]) == 0

    def test_a_folder_of_images(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (here / "images").mkdir()
        for name in ("a", "b"):
            (here / f"{name}.png").rename(here / "images" / f"{name}.png")
        assert cli.main(["images", "--reference", "ref.png", "--mask", "ref_mask.png", "--out", "out"]) == 0
        assert "2 images, objects found in 2 -> out/masks, out/overlays" in capsys.readouterr().out

    def test_a_truncated_image_is_skipped(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (here / "c.png").write_bytes((here / "a.png").read_bytes()[:200])
        options = ["--reference", "ref.png", "--mask", "ref_mask.png", "--out", "out", "--quiet"]
        assert cli.main(["c.png", "a.png", *options]) == 1
        assert "c.png: cannot be read" in capsys.readouterr().err
        assert [path.name for path in (here / "out" / "masks").iterdir()] == ["a.png"]
        assert [path.name for path in (here / "out" / "overlays").iterdir()] == ["a.jpg"]

    def test_interrupted(self, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        segment = Segmenter.segment

        def interrupt(self: Segmenter, image: object) -> object:
            if (here / "out" / "masks" / "a.png").exists():
                raise KeyboardInterrupt
            return segment(self, image)  # type: ignore[arg-type]

        monkeypatch.setattr(Segmenter, "segment", interrupt)
        options = ["--reference", "ref.png", "--mask", "ref_mask.png", "--out", "out", "--quiet"]
        assert cli.main(["a.png", "b.png", *options]) == 130
        assert "interrupted; the results of 1 image are in out" in capsys.readouterr().err
        assert [path.name for path in (here / "out" / "masks").iterdir()] == ["a.png"]

    def test_an_input_is_never_replaced(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (here / "out" / "masks").mkdir(parents=True)
        (here / "ref_mask.png").rename(here / "out" / "masks" / "ref.png")
        options = ["--reference", "ref.png", "--mask", "out/masks/ref.png", "--out", "out", "--overwrite"]
        self.assert_refused(capsys, ["a.png", *options], "out/masks: holds the input out/masks/ref.png")
        assert [path.name for path in (here / "out" / "masks").iterdir()] == ["ref.png"]
        options = ["--dreambooth", ".", "--reference", "ref.png", "--mask", "out/masks/ref.png", "--out", "."]
        self.assert_refused(capsys, [*options, "--overwrite"], "holds the input", "name another place")

    def test_what_is_not_read_is_named(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (here / "images").mkdir()
        (here / "a.png").rename(here / "images" / "a.png")
        (here / "images" / "b.heic").touch()
        (here / "images" / "list.txt").touch()
        assert cli.main(["images", "--reference", "ref.png", "--mask", "ref_mask.png", "--out", "out", "--quiet"]) == 0
        assert (
            capsys.readouterr().err == "persam-segment: warning: images: not read, as they are no image files: b.heic\n"
        )

    def test_the_weights_are_not_replaced_by_scores(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for kind, name in (("Images", "ref.png"), ("Annotations", "ref_mask.png")):
            (here / "data" / kind / "toy").mkdir(parents=True)
            for number in range(2):
                Image.open(name).save(here / "data" / kind / "toy" / f"{number:02d}.png")
        (here / "weights.pt").write_bytes(b"weights")
        options = ["eval", "--root", "data", "--checkpoint", "weights.pt", "--json", "weights.pt", "--overwrite"]
        self.assert_refused(capsys, options, "weights.pt: is an input")
        assert (here / "weights.pt").read_bytes() == b"weights"

    def test_invalid_input_is_named(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        reference = ["--reference", "ref.png", "--mask", "ref_mask.png", "--out", "out"]
        (here / "truncated.jpg").write_bytes(b"\xff\xd8\xff truncated")
        (here / "deep").mkdir()
        (here / "deep" / "a.jpg").write_bytes((here / "a.png").read_bytes())
        self.assert_refused(capsys, ["none.png", *reference], "none.png: no such file")
        self.assert_refused(capsys, ["truncated.jpg", *reference], "truncated.jpg: cannot be read as an image")
        self.assert_refused(
            capsys, ["a.png", "deep", *reference], "a.png and deep/a.jpg would have masks of the same name"
        )
        two = ["--reference", "ref.png", "--reference", "b.png", "--mask", "ref_mask.png", "--out", "out"]
        self.assert_refused(capsys, ["a.png", *two], "2 references and 1 mask", "one mask for each reference")
        self.assert_refused(capsys, ["a.png"], "required", "--reference")
        (here / "small").mkdir()
        write_palette_png(here / "small.png", np.ones((7, 7), np.uint8))
        wrong = ["--reference", "ref.png", "--mask", "small.png", "--out", "out"]
        self.assert_refused(capsys, ["a.png", *wrong], "small.png", "256")
        assert not (here / "out").exists()


@pytest.mark.weights
@pytest.mark.skipif(not PERSEG.is_dir(), reason="needs perseg_mini, which is not beside the checkout")
@pytest.mark.parametrize(("method", "published"), [("persam", 0.9384), ("persam-f", 0.9354)])
def test_not_below_the_published_scripts(
    method: str, published: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scores.json"
    options = ["--root", str(PERSEG), "--method", method, "--device", "cpu", "--json", str(path), "--quiet"]
    assert cli.main(["eval", *options]) == 0
    scores = json.loads(path.read_text(encoding="utf-8"))["objects"]
    assert list(scores) == ["cat", "duck_toy", "colorful_sneaker"]
    assert np.mean([each["iou"] for each in scores.values()]) >= published - 0.0005
    assert "mIoU" in capsys.readouterr().out

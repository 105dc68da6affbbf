"""HTML report of an evaluation: one page that shows where a method's masks fail.

The page is self-contained: no scripts, fonts or other files; its images are embedded.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image as PilImage

from persam_video.drawing import draw_overlay, overlay_palette
from persam_video.evaluation.davis.dataset import DavisSequence
from persam_video.evaluation.davis.scoring import (
    METRIC_NAMES,
    ObjectScores,
    Scores,
    SequenceScores,
    all_objects,
    mean_scores,
)
from persam_video.files.atomic import write_atomic
from persam_video.files.images import read_image
from persam_video.frame import Image, LabelMap
from persam_video.messages import pluralize

_WIDTHS = (640, 560, 480, 400, 360, 320)
_PAIR_BYTES = 70_000
"""Limit of two JPEG files; two such pairs in base64 are at most 190 KB per sequence."""
_JPEG_QUALITY = 82


def write_report(
    path: Path,
    sequences: Sequence[DavisSequence],
    scores: Sequence[SequenceScores],
    results: Path,
    *,
    title: str,
    about: Mapping[str, str],
    frames_per_second: Mapping[str, float] | None = None,
) -> None:
    """Write the report atomically; an existing file is replaced, and missing parent folders are made.

    Args:
        path: HTML file to write.
        sequences: evaluated sequences. Frames without an image file are shown in grey.
        scores: scores of each sequence from `evaluate`, in the same order.
        results: evaluated folder, with ``<sequence>/<frame>.png``.
        title: heading of the page.
        about: further labels and values for its head, such as the model and the date.
        frames_per_second: tracking speed by sequence name, for an additional column of the table.
    Raises:
        OutputError: the file cannot be written.
        InputError: an image, an annotation or a mask cannot be read.
        ValueError: the sequences and the scores do not match.
    """
    if [each.name for each in sequences] != [each.name for each in scores]:
        raise ValueError("sequences and scores must have the same names in the same order")
    page = _page(sequences, scores, results, title, about, frames_per_second)
    write_atomic(path, page)


def _page(
    sequences: Sequence[DavisSequence],
    scores: Sequence[SequenceScores],
    results: Path,
    title: str,
    about: Mapping[str, str],
    frames_per_second: Mapping[str, float] | None,
) -> str:
    objects = all_objects(scores)
    overall = mean_scores(objects)
    anchors = {score.name: f"sequence-{number}" for number, score in enumerate(scores, 1)}
    worst_first = sorted(zip(sequences, scores, strict=True), key=lambda pair: pair[1].j_and_f)
    sections = [_section(sequence, score, results, anchors[score.name]) for sequence, score in worst_first]
    counts = f"{pluralize(len(scores), 'sequence')}, {pluralize(len(objects), 'object')}; means over objects"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}: J&amp;F {_format_score(overall["J&F-Mean"])}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
{_definitions("about", about.items())}
{_definitions("overall", ((name, _format_score(value)) for name, value in overall.items()))}
<p class="note">{counts}</p>
</header>
<main>
{_table(scores, anchors, frames_per_second)}
{"".join(sections)}
</main>
</body>
</html>
"""


def _definitions(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>\n" for label, value in pairs)
    return f'<dl class="{name}">\n{items}</dl>' if items else ""


def _format_score(value: float) -> str:
    """Number with three decimals, with a typographic minus sign and without negative zero."""
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def _table(
    scores: Sequence[SequenceScores], anchors: Mapping[str, str], frames_per_second: Mapping[str, float] | None
) -> str:
    names = ["object", *METRIC_NAMES] + ([] if frames_per_second is None else ["frames/s"])
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    bodies = [_table_rows(score, anchors[score.name], frames_per_second) for score in scores]
    return f"""<div class="scroll" id="table" role="region" aria-label="scores" tabindex="0">
<table>
<thead><tr><th scope="col" class="name">sequence</th>{heads}</tr></thead>
{"".join(bodies)}</table>
</div>"""


def _table_rows(score: SequenceScores, anchor: str, frames_per_second: Mapping[str, float] | None) -> str:
    """Table rows of a sequence: one per object, preceded by their mean where there are several."""
    labelled: list[tuple[str, list[ObjectScores]]] = [(str(each.object_id), [each]) for each in score.objects]
    if len(labelled) > 1:
        labelled.insert(0, ("mean", list(score.objects)))
    span = len(labelled)
    name = f'<th scope="rowgroup" class="name" rowspan="{span}"><a href="#{anchor}">{escape(score.name)}</a></th>'
    speed = ""
    if frames_per_second is not None:
        value = frames_per_second.get(score.name)
        speed = f'<td rowspan="{span}">{"–" if value is None else f"{value:.2f}"}</td>'
    rows = []
    for label, objects in labelled:
        first, *rest = mean_scores(objects).values()
        cells = f'<td>{label}</td><td class="score" style="--value:{first:.3f}">{_format_score(first)}</td>'
        cells += "".join(f"<td>{_format_score(value)}</td>" for value in rest)
        rows.append(f"<tr>{name}{cells}{speed}</tr>\n")
        name = speed = ""  # these cells of the first row span all rows
    return f"<tbody>\n{''.join(rows)}</tbody>\n"


def _section(sequence: DavisSequence, score: SequenceScores, results: Path, anchor: str) -> str:
    """Section of a sequence: its plot, and its worst and its median frame."""
    j_and_f = (score.j + score.f) / 2  # objects × frames
    frame_means = j_and_f.mean(axis=0)
    worst, median = _worst_and_median(frame_means)
    shown = {"worst": worst, "median": median} if worst != median else {"worst and median": worst}
    articles = []
    for label, column in shown.items():
        head = f"{label.capitalize()} frame: {score.frame_names[column]}, J&F\N{NO-BREAK SPACE}"
        head += _format_score(frame_means[column])
        pair = _pair(sequence, score, results, column)
        articles.append(f'<article>\n<h3>{escape(head)}</h3>\n<div class="pair">\n{pair}</div>\n</article>\n')
    return f"""<section id="{anchor}">
<h2>{escape(score.name)} <span>J&amp;F {_format_score(score.j_and_f)}</span> <a href="#table">↑ table</a></h2>
{_legend(score.object_ids, j_and_f)}
{_plot(score, j_and_f, shown)}
{"".join(articles)}</section>
"""


def _worst_and_median(frame_means: Scores) -> tuple[int, int]:
    """Indices of the first lowest value and of the lower median."""
    order = np.argsort(frame_means, kind="stable")
    return int(order[0]), int(order[(len(order) - 1) // 2])


def _legend(object_ids: Sequence[int], j_and_f: Scores) -> str:
    """Colour and mean J&F of each object; empty for a single object."""
    if len(object_ids) < 2:
        return ""
    items = [
        f'<li><i style="background:{_colour(i)}"></i>object {i}: {_format_score(float(values.mean()))}</li>'
        for i, values in zip(object_ids, j_and_f, strict=True)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _colour(object_id: int) -> str:
    return f"#{bytes(overlay_palette()[object_id]).hex()}"


def _plot(score: SequenceScores, j_and_f: Scores, shown: Mapping[str, int]) -> str:
    """SVG plot of J&F over the frames, objects × frames, with the shown frames marked.

    Labels and grid lines are positioned in percent; the curves are in an inner SVG, one unit per frame, that is
    stretched. So the plot is as wide as the page, and its text keeps its size.
    """
    last = max(j_and_f.shape[1] - 1, 1)
    parts = [f'<text x="0" y="100%" dy="18">{escape(score.frame_names[0])}</text>']
    if j_and_f.shape[1] > 1:
        parts.append(f'<text x="100%" y="100%" dy="18" text-anchor="end">{escape(score.frame_names[-1])}</text>')
    for value in (0, 0.5, 1):
        y = f"{100 * (1 - value):g}%"
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="0" y="{y}" dx="-8" dy="4" text-anchor="end">{value:g}</text>')
    # The left label ends at its line and the right one begins at its line, so that they never overlap.
    for number, (label, column) in enumerate(sorted(shown.items(), key=lambda pair: pair[1])):
        x = f"{100 * column / last:.2f}%"
        is_left = number == 0 if len(shown) > 1 else column > last / 2
        side = 'text-anchor="end" dx="2"' if is_left else 'dx="-2"'
        kind = label.split()[0]
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="0" y2="100%"/>')
        parts.append(f'<text class="{kind}" x="{x}" y="0" dy="-6" {side}>{label}</text>')
    curves = []
    for i, values in zip(score.object_ids, j_and_f, strict=True):
        # A single frame is drawn as a horizontal line.
        points = " ".join(f"{x},{1 - value:.3f}" for x, value in enumerate(np.resize(values, max(len(values), 2))))
        # A grey outline keeps every colour visible on light and dark backgrounds.
        curves.append(f'<path d="M{points}"/><polyline points="{points}" stroke="{_colour(i)}"/>')
    name = escape(f"J&F of {score.name}, frame by frame")
    return f"""<svg class="plot" role="img" aria-label="{name}">
{"".join(parts)}
<svg viewBox="0 0 {last} 1" preserveAspectRatio="none">{"".join(curves)}</svg>
</svg>"""


def _pair(sequence: DavisSequence, score: SequenceScores, results: Path, column: int) -> str:
    """Prediction and ground truth of a scored frame, side by side."""
    frame_name = score.frame_names[column]
    index = [path.stem for path in sequence.annotations].index(frame_name)
    annotation = sequence.read_annotation(index)
    predicted = sequence.read_result(results / sequence.name / sequence.annotations[index].name)
    paths = [path for path in sequence.images if path.stem == frame_name]
    image = read_image(paths[0]) if paths else np.full((*annotation.shape, 3), 128, np.uint8)
    figures = []
    width, height, files = _encode_overlays(image, (predicted, annotation), score.object_ids)
    for label, file in zip(("prediction", "ground truth"), files, strict=True):
        text = escape(f"{score.name}, frame {frame_name}: {label}")
        data = base64.b64encode(file).decode()
        tag = f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{text}">'
        figures.append(f"<figure>{tag}<figcaption>{label}</figcaption></figure>\n")
    return "".join(figures)


def _encode_overlays(
    image: Image, label_maps: Sequence[LabelMap], object_ids: Sequence[int]
) -> tuple[int, int, tuple[bytes, ...]]:
    """Width and height in pixels, and a JPEG file of each label map drawn over the image.

    The files have the largest size, at most that of the label maps, at which they are within `_PAIR_BYTES`; if none is,
    the smallest.
    """
    height, width = label_maps[0].shape
    for limit in _WIDTHS:
        size = min(width, limit), max(1, round(height * min(1, limit / width)))
        # Resized before drawing, so that outlines and ids stay sharp.
        small = np.asarray(PilImage.fromarray(image).resize(size, PilImage.Resampling.LANCZOS))
        files = tuple(_encode_overlay(small, label_map, object_ids) for label_map in label_maps)
        if sum(map(len, files)) <= _PAIR_BYTES:
            break
    return *size, files


def _encode_overlay(image: Image, label_map: LabelMap, object_ids: Sequence[int]) -> bytes:
    size = image.shape[1], image.shape[0]
    labels = np.asarray(PilImage.fromarray(label_map).resize(size, PilImage.Resampling.NEAREST))
    file = io.BytesIO()
    drawn = PilImage.fromarray(draw_overlay(image, labels, object_ids=object_ids))
    drawn.save(file, "JPEG", quality=_JPEG_QUALITY, optimize=True, progressive=True)
    return file.getvalue()


_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1d1f23; --soft: #63676f; --line: #d9dbe0; --weak: #c62f1d; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #17181b; --ink: #e6e7ea; --soft: #a0a4ac; --line: #383b41; --weak: #ff7a66; }
}
body { max-width: 62rem; margin: 0 auto; padding: 1rem 1rem 3rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { margin: .5rem 0 1rem; font-size: 1.6rem; }
h2 { margin: 0 0 .5rem; font-size: 1.25rem; }
h2 span { margin-left: .5em; font-weight: 400; }
h2 a { float: right; font-size: .875rem; font-weight: 400; }
h3 { margin: 1.25rem 0 .4rem; font-size: 1rem; font-weight: 600; }
a { color: inherit; text-underline-offset: .15em; text-decoration-color: var(--soft); }
dl { margin: 0 0 1rem; }
dd { margin: 0; }
dt, .note, figcaption { color: var(--soft); font-size: .875rem; }
.about div { display: grid; grid-template-columns: 9rem 1fr; gap: .75rem; align-items: baseline; }
.overall { display: flex; flex-wrap: wrap; gap: .5rem 1.75rem; align-items: end; }
.overall dd { font-size: 1.1rem; }
.overall div:first-child dd { font-size: 2rem; font-weight: 600; line-height: 1.1; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; overflow-wrap: normal; }
th, td { padding: .25rem .6rem; text-align: right; vertical-align: top; white-space: nowrap; font-weight: 400; }
th.name { padding-left: 0; text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
thead th { border-bottom: 2px solid var(--line); color: var(--soft); font-size: .8125rem; }
tbody { border-bottom: 1px solid var(--line); }
.score { font-weight: 600; print-color-adjust: exact; -webkit-print-color-adjust: exact;
  background: rgb(224 72 48 / calc((1 - var(--value)) * .85)); }
section { margin-top: 2.5rem; padding-top: 1.25rem; border-top: 2px solid var(--line); }
.plot { display: block; overflow: visible; height: 9rem; width: calc(100% - 5rem); margin: 1.75rem 2.5rem 2.25rem; }
.plot svg { overflow: visible; }
.plot text { fill: var(--soft); font-size: .8125rem; }
.plot line { stroke: var(--line); }
.plot line.worst { stroke: var(--weak); stroke-width: 1.5; }
.plot text.worst { fill: var(--weak); }
.plot line.median { stroke: var(--soft); stroke-dasharray: 4 3; }
.plot path, .plot polyline { fill: none; stroke-width: 2; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.plot path { stroke: #888; stroke-width: 3.5; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0; padding: 0; list-style: none; }
.legend i { display: inline-block; width: 1.1em; height: .7em; margin-right: .4em; border: 1px solid #888;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; }
@media (max-width: 34rem) { .pair { grid-template-columns: 1fr; } .about div { grid-template-columns: 6rem 1fr; } }
@media print {
  h2 a { display: none; }
  tbody, section, article { break-inside: avoid; }
  .scroll { overflow: visible; }
  table { font-size: .75rem; }
}
"""

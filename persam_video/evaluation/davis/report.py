"""The evaluation card: one HTML page that shows where a method's masks fail.

The page needs nothing beside it: no scripts, fonts or other files, and its pictures are inside.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image as PilImage

from persam_video.errors import InputError
from persam_video.evaluation.davis.dataset import DavisSequence
from persam_video.evaluation.davis.scoring import (
    COLUMNS,
    ObjectScores,
    Scores,
    SequenceScores,
    all_objects,
    mean_scores,
)
from persam_video.files.atomic import write_atomic
from persam_video.files.images import read_image
from persam_video.frame import Image, LabelMap
from persam_video.messages import one_line, pluralize
from persam_video.outputs.overlay import draw_overlay, overlay_palette

_WIDTHS = (640, 560, 480, 400, 360, 320)
_PAIR_BYTES = 70_000  # of a pair as JPEG files: with two pairs and their base64, 190 KB a sequence at most
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
    """Write the card; the file gets its name only when it is whole. Missing parent folders are made.

    Args:
        path: of the HTML file; an old one is replaced.
        sequences: in the order of `scores`; where there is no picture of a frame's name, grey takes its place.
        scores: what `evaluate` found.
        results: the folder with ``<sequence>/<frame>.png`` that was evaluated.
        title: the page's heading.
        about: labels and values for the reader: the model, the date.
        frames_per_second: the speed by sequence name; the table has a column for it if it is given.
    Raises:
        OutputError: the file cannot be written.
        InputError: a picture, an annotation or a mask cannot be read.
        ValueError: the sequences and the scores do not belong together.
    """
    if [each.name for each in sequences] != [each.name for each in scores]:
        raise ValueError("there must be scores of every sequence, in the same order")
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
    pairs = sorted(zip(sequences, scores, strict=True), key=lambda pair: pair[1].j_and_f)
    sections = [_section(sequence, score, results, anchors[score.name]) for sequence, score in pairs]
    counts = f"{pluralize(len(scores), 'sequence')}, {pluralize(len(objects), 'object')}; means over objects"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}: J&amp;F {_figure(overall["J&F-Mean"])}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
{_definitions("about", about.items())}
{_definitions("overall", ((name, _figure(value)) for name, value in overall.items()))}
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


def _figure(value: float) -> str:
    """Three decimals, with a true minus sign and without a negative zero."""
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def _table(
    scores: Sequence[SequenceScores], anchors: Mapping[str, str], frames_per_second: Mapping[str, float] | None
) -> str:
    names = ["object", *COLUMNS] + ([] if frames_per_second is None else ["frames/s"])
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    bodies = [_table_rows(score, anchors[score.name], frames_per_second) for score in scores]
    return f"""<div class="scroll" id="table" role="region" aria-label="figures" tabindex="0">
<table>
<thead><tr><th scope="col" class="name">sequence</th>{heads}</tr></thead>
{"".join(bodies)}</table>
</div>"""


def _table_rows(score: SequenceScores, anchor: str, frames_per_second: Mapping[str, float] | None) -> str:
    """A row for each object; above those of several objects, one for their mean."""
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
        cells = f'<td>{label}</td><td class="score" style="--value:{first:.3f}">{_figure(first)}</td>'
        cells += "".join(f"<td>{_figure(value)}</td>" for value in rest)
        rows.append(f"<tr>{name}{cells}{speed}</tr>\n")
        name = speed = ""  # those of the first row reach over all
    return f"<tbody>\n{''.join(rows)}</tbody>\n"


def _section(sequence: DavisSequence, score: SequenceScores, results: Path, anchor: str) -> str:
    over_time = (score.j + score.f) / 2
    of_frames = over_time.mean(axis=0)
    worst, median = _worst_and_median(of_frames)
    shown = {"worst": worst, "median": median} if worst != median else {"worst and median": worst}
    pictures = []
    for label, column in shown.items():
        head = f"{label.capitalize()} frame: {score.frame_names[column]}, J&F\N{NO-BREAK SPACE}"
        head += _figure(of_frames[column])
        pair = _pair(sequence, score, results, column)
        pictures.append(f'<article>\n<h3>{escape(head)}</h3>\n<div class="pair">\n{pair}</div>\n</article>\n')
    return f"""<section id="{anchor}">
<h2>{escape(score.name)} <span>J&amp;F {_figure(score.j_and_f)}</span> <a href="#table">↑ table</a></h2>
{_legend(score.object_ids, over_time)}
{_plot(score, over_time, shown)}
{"".join(pictures)}</section>
"""


def _worst_and_median(of_frames: Scores) -> tuple[int, int]:
    """The places of the lowest value and of the lower median; of equal ones the first counts as the lowest."""
    order = np.argsort(of_frames, kind="stable")
    return int(order[0]), int(order[(len(order) - 1) // 2])


def _legend(object_ids: Sequence[int], over_time: Scores) -> str:
    """The objects' colours and J&F, where there are several."""
    if len(object_ids) < 2:
        return ""
    items = [
        f'<li><i style="background:{_colour(i)}"></i>object {i}: {_figure(float(values.mean()))}</li>'
        for i, values in zip(object_ids, over_time, strict=True)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _colour(object_id: int) -> str:
    return f"#{bytes(overlay_palette()[object_id]).hex()}"


def _plot(score: SequenceScores, over_time: Scores, shown: Mapping[str, int]) -> str:
    """J&F over time.

    Labels and lines across are placed by percent, the curves are in an inner picture that is stretched, one unit a
    frame: so the plot is as wide as the page, and its text keeps its size.
    """
    last = max(over_time.shape[1] - 1, 1)
    parts = [f'<text x="0" y="100%" dy="18">{escape(score.frame_names[0])}</text>']
    if over_time.shape[1] > 1:
        parts.append(f'<text x="100%" y="100%" dy="18" text-anchor="end">{escape(score.frame_names[-1])}</text>')
    for value in (0, 0.5, 1):
        y = f"{100 * (1 - value):g}%"
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="0" y="{y}" dx="-8" dy="4" text-anchor="end">{value:g}</text>')
    # The left one's label ends at its line and the right one's begins there: they never meet.
    for number, (label, column) in enumerate(sorted(shown.items(), key=lambda pair: pair[1])):
        x = f"{100 * column / last:.2f}%"
        is_left = number == 0 if len(shown) > 1 else column > last / 2
        side = 'text-anchor="end" dx="2"' if is_left else 'dx="-2"'
        kind = label.split()[0]
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="0" y2="100%"/>')
        parts.append(f'<text class="{kind}" x="{x}" y="0" dy="-6" {side}>{label}</text>')
    curves = []
    for i, values in zip(score.object_ids, over_time, strict=True):
        # A single frame's value is drawn as a line across.
        points = " ".join(f"{x},{1 - value:.3f}" for x, value in enumerate(np.resize(values, max(len(values), 2))))
        # No colour stands out on every ground: a rim of grey does.
        curves.append(f'<path d="M{points}"/><polyline points="{points}" stroke="{_colour(i)}"/>')
    name = escape(f"J&F of {score.name}, frame by frame")
    return f"""<svg class="plot" role="img" aria-label="{name}">
{"".join(parts)}
<svg viewBox="0 0 {last} 1" preserveAspectRatio="none">{"".join(curves)}</svg>
</svg>"""


def _pair(sequence: DavisSequence, score: SequenceScores, results: Path, column: int) -> str:
    """The prediction and the ground truth of a scored frame, beside each other."""
    frame_name = score.frame_names[column]
    index = [path.stem for path in sequence.annotations].index(frame_name)
    annotation = sequence.read_annotation(index)
    found = sequence.read_result(results / sequence.name / sequence.annotations[index].name)
    paths = [path for path in sequence.pictures if path.stem == frame_name]
    picture = _read(paths[0]) if paths else np.full((*annotation.shape, 3), 128, np.uint8)
    figures = []
    width, height, files = _encode(picture, (found, annotation), score.object_ids)
    for label, file in zip(("prediction", "ground truth"), files, strict=True):
        text = escape(f"{score.name}, frame {frame_name}: {label}")
        data = base64.b64encode(file).decode()
        image = f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" alt="{text}">'
        figures.append(f"<figure>{image}<figcaption>{label}</figcaption></figure>\n")
    return "".join(figures)


def _read(path: Path) -> Image:
    try:
        return read_image(path)
    except Exception as error:  # damaged pictures make their decoders raise all sorts of things
        raise InputError(f"{path} is no picture that can be read ({one_line(error)})") from error


def _encode(
    picture: Image, label_maps: Sequence[LabelMap], object_ids: Sequence[int]
) -> tuple[int, int, tuple[bytes, ...]]:
    """JPEG files of the label maps over the picture: their width and height in pixels, and the files.

    They are as large as the label maps, or smaller: what the page has room for.
    """
    height, width = label_maps[0].shape
    for limit in _WIDTHS:
        size = min(width, limit), max(1, round(height * min(1, limit / width)))
        # Scaled before it is drawn on, so that outlines and ids stay sharp.
        small = np.asarray(PilImage.fromarray(picture).resize(size, PilImage.Resampling.LANCZOS))
        files = tuple(_encode_one(small, label_map, object_ids) for label_map in label_maps)
        if sum(map(len, files)) <= _PAIR_BYTES:
            break
    return *size, files


def _encode_one(picture: Image, label_map: LabelMap, object_ids: Sequence[int]) -> bytes:
    size = picture.shape[1], picture.shape[0]
    labels = np.asarray(PilImage.fromarray(label_map).resize(size, PilImage.Resampling.NEAREST))
    file = io.BytesIO()
    drawn = PilImage.fromarray(draw_overlay(picture, labels, object_ids=object_ids))
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

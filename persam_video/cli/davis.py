"""``persam-davis``: track every sequence of a DAVIS-layout dataset, and score masks as the official evaluation does."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from persam_video import __version__
from persam_video.cli.common import (
    EXIT_DAMAGED,
    EXIT_INTERRUPTED,
    Parser,
    add_model_options,
    add_video_options,
    load_model,
    path_name,
    positive,
    run,
    weights_input,
)
from persam_video.cli.signals import raise_if_interrupted
from persam_video.cli.terminal import complain, say
from persam_video.errors import InputError, OutputError
from persam_video.evaluation.davis.dataset import (
    DEFAULT_SPLIT,
    RESOLUTIONS,
    YEARS,
    DavisDataset,
    DavisSequence,
    open_dataset,
)
from persam_video.evaluation.davis.scoring import SequenceScores, evaluate
from persam_video.evaluation.davis.tables import as_json, check_csv_paths, csv_paths, screen_table, write_csv
from persam_video.evaluation.run_record import RUN_FILE, describe_record
from persam_video.files.atomic import check_writable, write_atomic
from persam_video.files.overlaps import OutputPath, refuse_overlaps
from persam_video.messages import pluralize, printable

if TYPE_CHECKING:
    from persam_video.evaluation.dataset_run import SequenceRun

PROGRAM = "persam-davis"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        the exit code: 0, 1 if a sequence could not be tracked, 2 for invalid input, 130 after Ctrl-C.
    """
    return run(PROGRAM, lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    return int(options.command(options))


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="Track a DAVIS-layout dataset, and score masks as DAVIS does.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="run|eval")

    tracking = commands.add_parser(
        "run",
        help="track every sequence, then score",
        description="Track every sequence of a dataset from its first annotation, then score the masks. "
        "Sequences whose masks exist already, of the same settings, are not tracked again.",
    )
    tracking.set_defaults(command=_run)
    add_dataset_options(tracking)
    tracking.add_argument(
        "--out", metavar="DIR", type=path_name, required=True, help="write masks, tables and run.json here"
    )
    add_model_options(tracking)
    add_video_options(tracking)
    _add_scoring_options(tracking)

    scoring = commands.add_parser(
        "eval",
        help="score any method's masks",
        description="Score masks, DIR/<sequence>/<frame>.png, against a dataset's annotations.",
    )
    scoring.set_defaults(command=_eval)
    add_dataset_options(scoring)
    scoring.add_argument("--results", metavar="DIR", type=path_name, required=True, help="folder of the masks")
    scoring.add_argument(
        "--out", metavar="DIR", type=path_name, help="write the tables here; default: the results' folder"
    )
    _add_scoring_options(scoring)
    return parser


def add_dataset_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the options that select a dataset and its sequences."""
    parser.add_argument(
        "--davis", metavar="ROOT", type=path_name, required=required, help="the folder with JPEGImages and Annotations"
    )
    parser.add_argument("--year", choices=YEARS, default="2017", help="2016: one binary object; default: 2017")
    parser.add_argument("--split", default=DEFAULT_SPLIT, help="the list ImageSets/YEAR/SPLIT.txt; default: val")
    parser.add_argument("--resolution", choices=RESOLUTIONS, help="default: 480p, or the only one there is")
    parser.add_argument("--sequences", metavar="NAME", nargs="+", help="only these, even if not in the split")


def _add_scoring_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for scores and how they are reported."""
    parser.add_argument(
        "--json", metavar="FILE", type=path_name, help="write all scores in full precision, of every frame"
    )
    parser.add_argument(
        "--report", metavar="FILE.html", type=path_name, help="write an HTML report with tables, plots and images"
    )
    parser.add_argument(
        "--ignore-void",
        action="store_true",
        help="leave void pixels (255) out; otherwise they are background, as in the official code",
    )
    parser.add_argument(
        "--threads", metavar="N", type=positive, help="threads for scoring; default: one per core, at most 4"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files of --json and --report that exist; when tracking, also masks that are not in run.json",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings and errors")


def _eval(options: argparse.Namespace) -> int:
    dataset = dataset_of(options)
    folder = options.out or options.results
    if not options.results.is_dir():
        raise InputError(f"{options.results}: no such folder; it should hold a folder of masks for each sequence")
    if dataset.is_dataset_folder(folder):
        raise OutputError(f"{folder}: is the dataset's own folder; name another one for the tables by --out")
    _check_outputs(options, dataset, options.results, folder)
    scores = evaluate(
        dataset.sequences,
        options.results,
        ignore_void=options.ignore_void,
        threads=options.threads,
        progress=not options.quiet,
    )
    _write_scores(dataset, dataset.sequences, scores, options.results, options, folder=folder)
    return 0


def _run(options: argparse.Namespace) -> int:
    from persam_video.evaluation.dataset_run import DatasetRun, check_folder

    dataset = dataset_of(options)
    check_folder(dataset, options.out, overwrite=options.overwrite)  # before the model is loaded
    _check_outputs(options, dataset, options.out, options.out)
    _check_first_annotations(dataset)
    sam = load_model(options)
    sequences = DatasetRun(
        dataset,
        sam,
        options.out,
        method=options.method,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    runs: list[SequenceRun] = []
    errors: list[str] = []
    try:
        with tqdm(total=len(dataset.sequences), desc="sequences", unit="sequence", disable=options.quiet) as bar:
            for each in sequences:
                runs.append(each)
                bar.update()
                raise_if_interrupted()
                if each.error is not None:
                    errors.append(f"{each.name}: {each.error}")
                elif not options.quiet:
                    tqdm.write(printable(_summary(each)))
        _score_run(dataset, [each for each in runs if each.error is None], options, errors)
    except KeyboardInterrupt:
        done = pluralize(len(runs) - len(errors), "sequence")
        complain(f"{PROGRAM}: interrupted; {done} done, the same command resumes there")
        return EXIT_INTERRUPTED
    finally:
        for error in errors:
            complain(f"{PROGRAM}: error: {error}")
    return EXIT_DAMAGED if errors else 0


def _check_first_annotations(dataset: DavisDataset) -> None:
    """Raise the first InputError if no first annotation can be read; single ones are reported after tracking."""
    errors = []
    for sequence in dataset.sequences:
        try:
            _ = sequence.first_annotation
        except InputError as error:
            errors.append(error)
    if len(errors) == len(dataset.sequences):
        raise errors[0]


def _score_run(dataset: DavisDataset, runs: list[SequenceRun], options: argparse.Namespace, errors: list[str]) -> None:
    """Score the sequences that were tracked and are annotated; errors of single ones are appended to `errors`."""
    from persam_video.evaluation.dataset_run import frames_per_second

    if runs and not options.quiet:
        frames = pluralize(sum(each.frames for each in runs), "frame")
        say(f"in all {frames}, {frames_per_second(runs):.2f} frames/s -> {options.out}")
        say("")
    rates = {each.name: each.frames_per_second for each in runs}
    scored: list[DavisSequence] = []
    scores: list[SequenceScores] = []
    for sequence in (each for each in dataset.sequences if each.name in rates):
        if reason := sequence.why_not_scored():
            if not options.quiet:
                say(f"{sequence.name} is not scored: {reason}")
            continue
        try:
            scores += evaluate([sequence], options.out, ignore_void=options.ignore_void, threads=options.threads)
            scored.append(sequence)
        except InputError as error:
            errors.append(f"{sequence.name}: {error}")
    if scores:
        rates = {sequence.name: rates[sequence.name] for sequence in scored}
        _write_scores(dataset, scored, scores, options.out, options, folder=options.out, rates=rates)


def _check_outputs(options: argparse.Namespace, dataset: DavisDataset, results: Path, tables: Path) -> None:
    """Refuse files of the options that cannot be written, or would replace an input or another output.

    Args:
        results: folder of the masks and their record.
        tables: folder of the tables.
    Raises:
        OutputError: there is such a file.
    """
    files = [path for path in (options.json, options.report) if path is not None]
    outputs = [*files, *csv_paths(tables, dataset.split)]
    refuse_overlaps(weights_input(options), [OutputPath(path) for path in outputs])
    check_csv_paths(tables, dataset.split)
    for path in files:
        if dataset.is_dataset_folder(path.parent):
            raise OutputError(f"{path}: would be in the dataset's own folder; name another file")
        if _is_result(path, results, dataset):
            raise OutputError(f"{path}: would be among the results, in {results}; name another file")
        check_writable(path, overwrite=options.overwrite)


def _is_result(path: Path, results: Path, dataset: DavisDataset) -> bool:
    """Whether a file would be the record of a folder of results, or in the folder of a sequence's masks."""
    path, results = path.resolve(), results.resolve()
    folders = {results / each.name for each in dataset.sequences}
    return path == results / RUN_FILE or not folders.isdisjoint(path.parents)


def dataset_of(options: argparse.Namespace) -> DavisDataset:
    """Dataset of the options that `add_dataset_options` adds."""
    return open_dataset(
        options.davis,
        year=options.year,
        split=options.split,
        resolution=options.resolution,
        sequences=options.sequences,
    )


def _summary(each: SequenceRun) -> str:
    """One line about a tracked sequence."""
    if each.skipped:
        return f"{each.name}: done before"
    stages = ", ".join(
        f"{stage} {1000 * each.seconds[stage] / each.frames:.0f} ms a frame" for stage in ("read", "write")
    )
    counts = f"{pluralize(each.frames, 'frame')}, {pluralize(each.objects, 'object')}"
    return f"{each.name}: {counts}, {each.frames_per_second:.2f} frames/s; {stages}"


def _write_scores(
    dataset: DavisDataset,
    sequences: Sequence[DavisSequence],
    scores: Sequence[SequenceScores],
    results: Path,
    options: argparse.Namespace,
    *,
    folder: Path,
    rates: dict[str, float] | None = None,
) -> None:
    """Write the tables and the optional JSON file and HTML report, and print the scores."""
    from persam_video.evaluation.davis.report import write_report

    written = list(write_csv(scores, folder, dataset.split))
    if options.json is not None:
        content: dict[str, Any] = as_json(scores)
        for name, rate in (rates or {}).items():
            content["sequences"][name]["frames_per_second"] = rate
        write_atomic(options.json, json.dumps(content, indent=1) + "\n")
        written.append(options.json)
    if options.report is not None:
        title = f"DAVIS-{dataset.year} {dataset.split}"
        about = describe_record(results, [each.name for each in sequences])
        write_report(options.report, sequences, scores, results, title=title, about=about, frames_per_second=rates)
        written.append(options.report)
    if not options.quiet:
        for line in screen_table(scores, rates).splitlines():
            say(line)
        say("-> " + ", ".join(map(str, written)))


if __name__ == "__main__":
    sys.exit(main())

"""``persam-export``: write the results of a run in other formats."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from persam_video import __version__
from persam_video.cli.annotation_options import names_of
from persam_video.cli.common import EXIT_DAMAGED, EXIT_INTERRUPTED, EXIT_USAGE, Parser, path_name, run
from persam_video.cli.format_options import add_format_options, chosen_formats
from persam_video.cli.signals import raise_if_interrupted
from persam_video.cli.terminal import complain, say
from persam_video.errors import DamagedVideoError, InputError
from persam_video.messages import parameter, pluralize
from persam_video.outputs.formats import FORMATS

PROGRAM = "persam-export"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        the exit code: 0, 1 for a video that is damaged part-way, 2 for invalid input, 130 after Ctrl-C.
    """
    return run(PROGRAM, lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    from persam_video.outputs.export import export, open_results

    options = _parser().parse_args(arguments)
    formats, chosen = chosen_formats(options, options.to)
    names = None if options.names is None else names_of(options.names)
    source = open_results(options.results, options.video, names=names)
    if source.video is None and (needy := [each for each in formats if each.needs_images]):
        raise InputError(
            f"{options.results}: its video is not at hand, but {needy[0].file} needs the images; give it with "
            f"{parameter('video')}"
        )
    outputs = [each.make(options.out / each.file, replace(chosen, whole=True)) for each in formats]
    try:
        count = export(
            source,
            outputs,
            overwrite=options.overwrite,
            progress=not options.quiet,
            on_frame=raise_if_interrupted,
        )
    except KeyboardInterrupt:
        complain(f"{PROGRAM}: interrupted; nothing was written")
        return EXIT_INTERRUPTED
    except DamagedVideoError as error:
        complain(f"{PROGRAM}: error: {error}; nothing was written")
        return EXIT_DAMAGED
    if not count:
        complain(f"{PROGRAM}: error: {options.results}: holds no frame; nothing was written")
        return EXIT_USAGE
    if not options.quiet:
        say(f"{pluralize(count, 'frame')} -> {', '.join(str(each.path) for each in outputs)}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} RESULTS|MASKS_DIR --to FORMAT[,FORMAT …] --out DIR [options]",
        description="Write the results of a run, or a folder of masks, in other formats, without tracking again.",
    )
    parser.add_argument(
        "results", metavar="RESULTS", type=path_name, help="results.jsonl of a run, or a folder of masks (id PNGs)"
    )
    parser.add_argument("--to", metavar="FORMAT[,FORMAT …]", required=True, help=", ".join(FORMATS))
    parser.add_argument("--out", metavar="DIR", required=True, type=path_name, help="folder of what is written")
    parser.add_argument(
        "--video",
        metavar="VIDEO",
        type=path_name,
        help="the video of the results; default: that of its name beside RESULTS, in the folder above or in this one",
    )
    parser.add_argument(
        "--names",
        metavar="1=NAME,…",
        action="once",
        help="names of objects, as 1=dog,2=ball, or a JSON file of them, instead of those in the results",
    )
    add_format_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--quiet", action="store_true", help="print nothing but warnings and errors")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())

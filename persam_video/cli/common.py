"""Shared parts of the commands: options, exit codes, and errors and warnings of one line each."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tqdm.auto import tqdm

from persam_video.cli.signals import interruptible
from persam_video.cli.terminal import complain, tolerant_streams
from persam_video.errors import InputError, PersamError
from persam_video.files.json_file import shortened
from persam_video.files.overlaps import InputPath
from persam_video.messages import name_options, one_line, printable
from persam_video.options import (
    DEFAULT_METHOD,
    DEFAULT_MODEL,
    METHODS,
    MODELS,
    PRECISIONS,
    SIZES,
    WINDOWS,
    ModelOptions,
)
from persam_video.runtime.heap import collect_garbage_rarely, keep_freed_memory

if TYPE_CHECKING:
    from persam_video.sam.models import Sam

EXIT_DAMAGED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_ADVICE = {
    errno.EACCES: "give a path that you may read or write",
    errno.EPERM: "give a path that you may read or write",
    errno.EROFS: "give a path on a disk that can be written to",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOENT: "give a file that exists",
    errno.ENOTDIR: "give a folder where a file is named as one",
    errno.ENOSPC: "free some space, or give another disk",
    errno.EDQUOT: "free some space, or give another disk",
    errno.EMFILE: "close other files, or raise the limit of open files",
}
"""What can be done about an error of the operating system, by its number."""


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.register("action", "once", _Once)

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, printable(f"{self.prog}: error: {message}; see {self.prog} --help") + "\n")


class _Once(argparse.Action):
    """Option of files, which are not to be forgotten where it is given again."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        if getattr(namespace, self.dest, None) is not None:
            several = ", with all its values" if self.nargs else ""
            raise argparse.ArgumentError(self, f"is given twice; give it once{several}")
        setattr(namespace, self.dest, values)


def add_model_options(
    parser: argparse.ArgumentParser, methods: Mapping[str, str] = METHODS, default: str = DEFAULT_METHOD
) -> None:
    """Add the options for method, model, weights and device."""
    described = "; ".join(f"{name}: {text}" for name, text in methods.items())
    parser.add_argument("--method", choices=tuple(methods), default=default, help=f"{described}; default: {default}")
    parser.add_argument("--model", choices=MODELS, default=DEFAULT_MODEL, help="default: %(default)s")
    parser.add_argument(
        "--checkpoint", metavar="FILE", type=path_name, help="weights from a local file (.pt, .pth, .safetensors)"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cuda, cpu or mps")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the image encoder")
    parser.add_argument(
        "--size",
        metavar=f"{{auto,{','.join(map(str, SIZES))}}}",
        type=_size,
        default=SIZES[-1],
        help="longer side of encoded frames in pixels: less is faster and coarser; auto (the default): "
        f"{SIZES[-1]}, and of windows what the objects need",
    )
    parser.add_argument(
        "--exact-padding",
        action="store_true",
        help="encode frames padded to a square, as SAM itself does: twice the work at 16:9",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile the image encoder: the first frame takes up to minutes; slower on a CPU",
    )
    parser.add_argument(
        "--no-graphs",
        dest="graphs",
        action="store_false",
        help="on CUDA, launch the kernels of a frame one by one, not as CUDA graphs",
    )
    parser.set_defaults(batch=None, window=WINDOWS[0])


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add the model options of commands that track videos: images are encoded whole, one by one."""
    parser.add_argument(
        "--window",
        choices=WINDOWS,
        default=WINDOWS[0],
        help="encode a window around the objects of each frame, as finely as they need, or the whole frame; default: "
        "objects for the method appearance on a CPU",
    )
    description = "encode N whole frames at once; default: 4 on CUDA, elsewhere 1"
    parser.add_argument("--batch", metavar="N", type=positive, help=description)


def add_max_pixels_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that read frames or images."""
    parser.add_argument(
        "--max-pixels",
        metavar="N",
        type=positive,
        help="refuse frames and images of more pixels; default: 67108864 (8192×8192)",
    )


def _size(text: str) -> int:
    """Value of ``--size``."""
    sizes = {"auto": SIZES[-1], **{str(size): size for size in SIZES}}
    if text not in sizes:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give {', '.join(list(sizes)[:-1])} or {SIZES[-1]}")
    return sizes[text]


def model_options(options: argparse.Namespace) -> ModelOptions:
    """Model options among a command's options."""
    return ModelOptions(**{each.name: getattr(options, each.name) for each in fields(ModelOptions)})


def weights_input(options: argparse.Namespace) -> list[InputPath]:
    """Weights that a command's options name, if they name any and the command has the option."""
    checkpoint = getattr(options, "checkpoint", None)
    return [] if checkpoint is None else [InputPath(checkpoint)]


def load_model(options: argparse.Namespace) -> Sam:
    """Model of a command's options, with its weights."""
    from persam_video.sam.models import load_sam  # late: importing torch takes seconds

    return load_sam(model_options(options), progress=not options.quiet)


def positive(text: str) -> int:
    """Option value of 1 or more."""
    number = int(text) if re.fullmatch("[0-9]{1,18}", text) else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{shortened(text)!r} is not a number from 1 up")
    return number


def path_name(text: str) -> Path:
    """Option value as a path; an empty one, of a shell variable that is not set, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; give a file or a folder")
    return Path(text)


class _LineHandler(logging.Handler):
    """Prints log records as lines on stderr, above a progress bar; the same line only once."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self._program}: {record.levelname.lower()}: {record.getMessage()}"
        if line not in self._printed:  # the mask of a later frame is read twice, and may be warned of each time
            self._printed.add(line)
            tqdm.write(printable(line), file=sys.stderr)


@contextmanager
def _lines_on_stderr(program: str) -> Generator[None, None, None]:
    """Print log records of the library, and Python's warnings, as lines that begin with the program's name."""

    def show_warning(message: Warning | str, *_: object, **__: object) -> None:
        tqdm.write(printable(f"{program}: warning: {message}"), file=sys.stderr)

    logger, handler = logging.getLogger("persam_video"), _LineHandler(program)
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False  # else the root logger may print each line again
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.showwarning = show_warning
            yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def run(program: str, main: Callable[[], int]) -> int:
    """Exit code of a command, from its arguments to its last line.

    Exceptions of this package and of the operating system are printed as one line on stderr; so is an interruption, by
    Ctrl-C, SIGTERM or SIGHUP, where the command did not do so itself.
    """
    with tolerant_streams(), name_options(), _lines_on_stderr(program), interruptible() as interruption:
        keep_freed_memory()
        collect_garbage_rarely()
        try:
            code = main()
        except BaseException as error:
            if interruption.number is None:
                code = _report(program, error)
            else:  # whatever an import or a library made of it
                complain(f"{program}: interrupted")
                code = EXIT_INTERRUPTED
        return 128 + interruption.number if code == EXIT_INTERRUPTED and interruption.number else code


def _report(program: str, error: BaseException) -> int:
    """Print an exception that a user can do something about, and return the exit code; raise any other."""
    if isinstance(error, PersamError):
        complain(f"{program}: error: {error}")
        return EXIT_USAGE if isinstance(error, InputError) else EXIT_DAMAGED
    if isinstance(error, OSError):
        complain(f"{program}: error: {describe_os_error(error)}")
        return EXIT_USAGE
    if isinstance(error, MemoryError):
        complain(f"{program}: error: not enough memory; give smaller frames, or close other programs")
        return EXIT_USAGE
    raise error


def describe_os_error(error: OSError) -> str:
    """An error of the operating system, with the file that it is about and what can be done."""
    name = error.filename if error.filename is not None else "a file"
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    advice = _ADVICE.get(error.errno or 0, "check the file, its folder and its disk")
    return f"{name}: {one_line(error)}; {advice}"


def frame_or_seconds(text: str) -> int | float:
    """Option value as a frame number, int (``120``), or a time in seconds, float (``4.5s``, ``1:30``)."""
    try:
        if ":" in text:
            seconds = 0.0
            for place, part in enumerate(text.split(":")):
                if place and float(part) >= 60:
                    raise ValueError
                seconds = seconds * 60 + float(part)
            return seconds
        return float(text[:-1]) if text.endswith("s") else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a frame (120) nor a time (4.5s, or 1:30 for a minute and a half)"
        ) from None

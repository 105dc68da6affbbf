"""Demo clips: videos of moving toys with exact masks, for the README, the tests and the benchmarks.

    python tools/make_demo_clip.py OUT_DIR [--frames 72] [--size 854x480] [--objects 3] [--toy-size 1] [--seed 0]
                                           [--masks]

writes ``OUT_DIR/clip.mp4`` (H.264) and ``OUT_DIR/first_mask.png``; ``--masks`` adds ``OUT_DIR/masks/00000.png`` and
so on, one for every frame. The pixel values of the masks are the object ids. `demo_scene` describes the motion.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
from demo_scene import CYCLE_FRAMES, MAX_OBJECTS, MAX_SIDE, MIN_SIDE, DemoScene

from persam_video.files.palette_png import write_palette_png

__all__ = ["DemoScene", "main", "write_clip"]

DEFAULT_SIZE = (854, 480)
DEFAULT_FPS = Fraction(24)
DEFAULT_QUALITY = 18


def write_clip(
    folder: str | Path,
    scene: DemoScene,
    *,
    fps: Fraction | int = DEFAULT_FPS,
    masks: bool = False,
    quality: int = DEFAULT_QUALITY,
) -> Path:
    """Write a scene as a video, with the first frame's mask beside it.

    Args:
        folder: of ``clip.mp4`` and ``first_mask.png``; created if it does not exist.
        scene: the scene; its width and height must be even, as H.264 with 4:2:0 requires.
        fps: frames per second.
        masks: also write the mask of every frame, as ``masks/00000.png`` and so on.
        quality: x264's constant rate factor, 0 (lossless) to 51; adding 6 halves the size roughly.

    Returns:
        Path of the clip.

    Raises:
        ValueError: a width or height is odd, the rate is not positive, or the quality is out of range.
        OSError: the files cannot be written.
    """
    if scene.width % 2 or scene.height % 2:
        raise ValueError(f"width and height must be even, got {scene.width}x{scene.height}")
    if fps <= 0:
        raise ValueError(f"fps must be positive, got {fps}")
    if not 0 <= quality <= 51:
        raise ValueError(f"quality must be 0 to 51, got {quality}")
    folder = Path(folder)
    (folder / "masks" if masks else folder).mkdir(parents=True, exist_ok=True)
    write_palette_png(folder / "first_mask.png", scene.label_map(0))
    path = folder / "clip.mp4"
    partial = folder / "clip.partial.mp4"  # renamed when it is complete
    try:
        with av.open(str(partial), "w", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps))
            stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
            stream.options = {"crf": str(quality), "preset": "slow"}
            for index in range(scene.frames):
                image, label_map = scene.render(index)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index, 1 / Fraction(fps)
                container.mux(stream.encode(frame))
                if masks:
                    write_palette_png(folder / "masks" / f"{index:05d}.png", label_map)
            container.mux(stream.encode(None))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    width, height = options.size
    try:
        scene = DemoScene(width, height, options.objects, options.frames, options.seed, options.toy_size)
        path = write_clip(options.folder, scene, fps=options.fps, masks=options.masks, quality=options.quality)
    except (ValueError, OSError) as error:  # PyAV's errors are of either type
        parser.exit(2, f"{parser.prog}: error: {' '.join(str(error).split())}\n")
    kilobytes = sum(file.stat().st_size for file in (path, path.with_name("first_mask.png"))) / 1000
    print(
        f"{path}: {scene.frames} frames, {width}x{height}, {options.objects} objects, {kilobytes:.0f} kB with its mask"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Write a video of moving toys and their exact masks.")
    parser.add_argument("folder", type=Path, metavar="OUT_DIR", help="folder of clip.mp4 and first_mask.png")
    parser.add_argument("--frames", type=_count(1), default=CYCLE_FRAMES, help="number of frames (%(default)s)")
    default_size = "x".join(map(str, DEFAULT_SIZE))
    parser.add_argument("--size", type=_size, default=DEFAULT_SIZE, metavar="WxH", help=f"in pixels ({default_size})")
    parser.add_argument("--objects", type=_count(1, MAX_OBJECTS), default=3, help="number of objects (%(default)s)")
    parser.add_argument("--toy-size", type=float, default=1.0, metavar="SHARE", help="0.01 to 1 (%(default)s)")
    parser.add_argument("--seed", type=_count(0), default=0, help="of toys, paths and landscape (%(default)s)")
    parser.add_argument("--fps", type=_rate, default=DEFAULT_FPS, help="frames per second (%(default)s)")
    parser.add_argument("--masks", action="store_true", help="also write the exact mask of every frame")
    parser.add_argument(
        "--quality", type=_count(0, 51), default=DEFAULT_QUALITY, metavar="CRF", help="x264's crf, 0 best (%(default)s)"
    )
    return parser


def _count(low: int, high: int | None = None) -> Callable[[str], int]:
    """Parser of integers between two bounds, for argparse."""

    def parse(text: str) -> int:
        allowed = f"{low} or more" if high is None else f"{low} to {high}"
        if not re.fullmatch(r"\d+", text) or int(text) < low or (high is not None and int(text) > high):
            raise argparse.ArgumentTypeError(f"must be a whole number, {allowed}; got {text!r}")
        return int(text)

    return parse


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(MIN_SIDE <= side <= MAX_SIDE and side % 2 == 0 for side in sides):
        raise argparse.ArgumentTypeError(
            f"must be WIDTHxHEIGHT, even numbers from {MIN_SIDE} to {MAX_SIDE} such as 854x480; got {text!r}"
        )
    return sides


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text).limit_denominator(1001)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(
            f"must be a number above 0, at most 1000, such as 24 or 30000/1001; got {text!r}"
        )
    return rate


if __name__ == "__main__":
    sys.exit(main())

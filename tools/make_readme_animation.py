"""The README's animation, from an overlay video.

    persam-track demo/clip.mp4 --first-mask demo/first_mask.png --overlay overlay.mp4
    python tools/make_readme_animation.py overlay.mp4 docs/demo.webp

writes an animated WebP file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from persam_video.video.reader import open_video


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="Convert a video to an animated WebP file.")
    parser.add_argument("video", type=Path)
    parser.add_argument("animation", type=Path)
    parser.add_argument("--width", type=int, default=480, help="pixels (default: 480)")
    parser.add_argument("--stride", type=int, default=2, help="keep every Nth frame (default: 2)")
    parser.add_argument("--quality", type=int, default=60, help="0 to 100 (default: 60)")
    options = parser.parse_args()
    with open_video(options.video, stride=options.stride) as reader:
        size = options.width, round(options.width * reader.info.height / reader.info.width)
        frames = [Image.fromarray(frame.image).resize(size, Image.Resampling.LANCZOS) for frame in reader]
        milliseconds = round(1000 / (reader.info.frame_rate or 12))
    frames[0].save(
        options.animation,
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds,
        loop=0,
        quality=options.quality,
        method=6,
    )
    print(f"{options.animation}: {len(frames)} frames, {options.animation.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

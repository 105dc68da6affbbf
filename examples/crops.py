"""Save the part of every frame that shows one object.

python examples/crops.py video.mp4 ann.png crops/ --object 2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from persam_video import track


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Save crops of one object.")
    parser.add_argument("video")
    parser.add_argument("first_mask")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--object", type=int, default=2, help="its id in the first mask; default: 2")
    options = parser.parse_args(arguments)

    options.folder.mkdir(parents=True, exist_ok=True)
    for result in track(options.video, options.first_mask, progress=True):
        crop = result.crop(options.object, margin=8)
        if crop is not None:  # the object is visible
            Image.fromarray(crop).save(options.folder / f"{result.frame.name}.png")


if __name__ == "__main__":
    main()

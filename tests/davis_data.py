"""Small datasets in the layouts of DAVIS and YouTube-VOS, with the flat squares of `colour_sam`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from colour_sam import GREEN, RED, Square, draw
from PIL import Image

from persam_video.files.palette_png import write_palette_png

SEQUENCES = {
    "one": [Square(1, RED, left=8, top=16)],
    "two": [Square(1, RED, left=8, top=16), Square(2, GREEN, left=40, top=80)],
}


def make_dataset(root: Path, *, frames: int = 5, resolution: str = "480p", year: str = "2017") -> Path:
    """Sequences ``one`` with one object and ``two`` with two, all frames annotated; for 2016 with values 0 and 255."""
    for name, squares in SEQUENCES.items():
        for index in range(frames):
            image, label_map = draw(squares, index)
            if year == "2016":
                label_map = np.where(label_map, 255, 0).astype(np.uint8)
            write_frame(root, resolution, name, index, image, label_map)
    return root


def write_frame(
    root: Path, resolution: str, name: str, index: int, image: np.ndarray, label_map: np.ndarray | None
) -> None:
    """Write the image of one frame and, if it has one, its annotation."""
    images, annotations = root / "JPEGImages" / resolution / name, root / "Annotations" / resolution / name
    images.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(images / f"{index:05d}.jpg", quality=95)
    if label_map is not None:
        write_palette_png(annotations / f"{index:05d}.png", label_map.astype(np.uint8))

"""Soft edges (`FrameResult.alpha`) against the exact alpha of drawn fur, and a picture of them on a real image.

python tools/soft_edges.py measure
python tools/soft_edges.py picture image.jpg mask.png out.jpg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
from demo_scene import DemoScene

from persam_video import Frame, FrameResult, read_palette_png
from persam_video.matting import alpha_of
from persam_video.outputs.cutout import cutout

_FloatArray = npt.NDArray[np.floating[Any]]
_WIDTH, _HEIGHT = 854, 480
_BAND = 25
"""Pixels on each side of the mask's edge in which errors count."""
_TRIMAP = 8
"""Pixels on each side of it that closed-form matting decides."""
_BEHIND = (150, 60, 170)


def main() -> int:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure", help="mean error of alpha near the edges of drawn fur")
    measuring.add_argument("--scenes", type=int, default=18)
    picture = commands.add_parser("picture", help="cut-outs with hard and soft edges, one above the other")
    for name in ("image", "mask", "out"):
        picture.add_argument(name, type=Path)
    picture.add_argument(
        "--part", type=int, nargs=4, metavar=("X0", "Y0", "X1", "Y1"), help="default: the object's box"
    )
    picture.add_argument("--zoom", type=int, default=1)
    options = parser.parse_args()
    if options.command == "measure":
        _measure(options.scenes)
    else:
        _write_picture(options.image, options.mask, options.out, options.part, options.zoom)
    return 0


def _measure(count: int) -> None:
    errors: dict[str, list[float]] = {}
    for seed in range(count):
        image, truth, mask = _drawn_fur(seed)
        near = _distance(mask) < _BAND
        found = {"mask": mask.astype(np.float32), "soft edges": alpha_of(image, mask, [1])}
        if seed < 6:
            found.update(_closed_form(image, mask))
        for name, alpha in found.items():
            errors.setdefault(name, []).append(float(np.abs(alpha - truth)[near].mean()))
    print(f"mean error of alpha within {_BAND} pixels of the mask's edge, {count} scenes of {_WIDTH}×{_HEIGHT}")
    for name, values in errors.items():
        first = f", in the first six {100 * float(np.mean(values[:6])):.2f} %" if count > 6 else ""
        whole = f"{100 * float(np.mean(values)):.2f} %" if len(values) == count else "six scenes only"
        print(f"{name:<12} {whole}{first}")


def _drawn_fur(seed: int) -> tuple[npt.NDArray[np.uint8], _FloatArray, npt.NDArray[np.uint8]]:
    """Image of an ellipse with hair before a landscape, its exact alpha, and its mask as of SAM's low-res grid."""
    rng = np.random.default_rng(seed)
    large = np.zeros((2 * _HEIGHT, 2 * _WIDTH), np.uint8)
    centre = np.array([_WIDTH + rng.integers(-200, 200), _HEIGHT + rng.integers(-60, 60)])
    axes = rng.integers(150, 300, 2)
    cv2.ellipse(large, centre.tolist(), axes.tolist(), 0, 0, 360, 255, -1, cv2.LINE_AA)
    for angle in 2 * np.pi * rng.random(rng.choice([0, 400, 1200])):
        direction = np.array([np.cos(angle), np.sin(angle)])
        start = centre + 0.97 * axes * direction
        end = start + (direction + rng.normal(0, 0.5, 2)) * 40 * rng.random()
        width = int(rng.integers(1, 4))
        cv2.line(large, start.astype(int).tolist(), end.astype(int).tolist(), 255, width, cv2.LINE_AA)
    alpha = cv2.resize(large, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    behind, front = (DemoScene(seed=each).render(0)[0] for each in (2 * seed, 2 * seed + 1))
    front = np.asarray(cv2.GaussianBlur(front, (0, 0), 6), np.uint8)
    share = alpha[..., None]
    image = np.rint(share * front + (1 - share) * behind).astype(np.uint8)
    low_res = cv2.resize(alpha, (256, 144), interpolation=cv2.INTER_AREA).clip(1e-3, 1 - 1e-3)
    logits = cv2.GaussianBlur(np.log(low_res / (1 - low_res)), (0, 0), 0.7)
    mask = cv2.resize(logits, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR) > 0
    return image, alpha, mask.astype(np.uint8)


def _distance(mask: npt.NDArray[np.uint8]) -> _FloatArray:
    """Distance of each pixel from the edge."""
    inside, outside = (cv2.distanceTransform(each, cv2.DIST_L2, 5) for each in (mask, 1 - mask))
    return np.asarray(inside + outside, np.float32)


def _closed_form(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> dict[str, _FloatArray]:
    """Closed-form matting (Levin et al.), where the package pymatting is installed."""
    try:
        import pymatting
    except ImportError:
        return {}
    trimap = np.where(_distance(mask) < _TRIMAP, 0.5, mask)
    return {"closed form": pymatting.estimate_alpha_cf(image / 255, trimap.astype(np.float64))}


def _write_picture(image_file: Path, mask_file: Path, out: Path, part: list[int] | None, zoom: int) -> None:
    image = np.array(PIL.Image.open(image_file).convert("RGB"))
    label_map = (read_palette_png(mask_file) > 0).astype(np.uint8)
    result = FrameResult.of(Frame(0, image, image_file.stem), label_map, {1: 1.0})
    x0, y0, x1, y1 = part or result.box(1) or (0, 0, result.frame.width, result.frame.height)
    hard = np.dstack((image, 255 * label_map))
    shown = []
    for rgba in (hard, cutout(result)):
        share = rgba[..., 3:] / 255
        mixed = (rgba[..., :3] * share + np.array(_BEHIND) * (1 - share)).astype(np.uint8)[y0:y1, x0:x1]
        size = (zoom * mixed.shape[1], zoom * mixed.shape[0])
        shown.append(np.asarray(PIL.Image.fromarray(mixed).resize(size, PIL.Image.Resampling.LANCZOS)))
    PIL.Image.fromarray(np.vstack(shown)).save(out)


if __name__ == "__main__":
    sys.exit(main())

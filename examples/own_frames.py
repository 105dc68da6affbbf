"""Track objects through images of your own, such as a microscope's or a simulation's, held in a NumPy file.

    python examples/own_frames.py frames.npy masks.npy label_maps.npy

frames.npy: uint8, T×H×W×3, RGB. masks.npy: H×W, the object ids of the first image. label_maps.npy: uint8, T×H×W.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from persam_video import Tracker, load_sam


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Track objects through images in a NumPy file.")
    parser.add_argument("frames")
    parser.add_argument("masks")
    parser.add_argument("label_maps")
    options = parser.parse_args(arguments)

    images = np.load(options.frames, mmap_mode="r")
    tracker = Tracker(load_sam("vit_t"))
    first = tracker.step(np.array(images[0]), label_map=np.load(options.masks))
    label_maps = [first.label_map]
    for image in images[1:]:
        result = tracker.step(np.array(image))
        label_maps.append(result.label_map)
        print({object_id: result.box(object_id) for object_id in result.object_ids})
    np.save(options.label_maps, np.stack(label_maps))


if __name__ == "__main__":
    main()

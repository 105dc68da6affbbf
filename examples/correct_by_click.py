"""Track a video, and correct one object in one frame by a click on it: Segment Anything makes the new mask.

python examples/correct_by_click.py video.mp4 ann.png masks/ --frame 50 --object 1 --click 420 240
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from persam_video import MaskWriter, ObjectPrompt, Tracker, load_first_masks, load_sam, open_video, segment_prompts


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Correct one object in one frame by a click.")
    parser.add_argument("video")
    parser.add_argument("first_mask")
    parser.add_argument("folder")
    parser.add_argument("--frame", type=int, default=50, help="its number; default: 50")
    parser.add_argument("--object", type=int, default=1, help="its id; default: 1")
    parser.add_argument("--click", type=float, nargs=2, metavar=("X", "Y"), required=True, help="pixels")
    options = parser.parse_args(arguments)

    sam = load_sam("vit_t")
    tracker = Tracker(sam)
    masks = MaskWriter(options.folder)
    click = ObjectPrompt(options.object, points=((*options.click, True),))
    with open_video(options.video) as video:
        first_mask = load_first_masks([options.first_mask], width=video.info.width, height=video.info.height)
        for frame in video:
            label_map = None
            if frame.index == 0:
                label_map = first_mask
            elif frame.index == options.frame:
                label_map = segment_prompts(sam, frame.image, [click])  # holds this object alone: only it is corrected
            result = tracker.step(frame, label_map=label_map)
            masks.write(frame.name, result.label_map)
    masks.close()


if __name__ == "__main__":
    main()

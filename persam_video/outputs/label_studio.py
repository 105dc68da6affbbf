"""Labels in Label Studio's format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from persam_video.outputs.folder import FolderOutput, encode_jpeg
from persam_video.result import FrameResult
from persam_video.results.coco import name_of

_RUN_BITS = (3, 4, 8, 16)
_VALUE_BITS = 8
_CHANNELS = 4


class LabelStudioOutput(FolderOutput):
    """Tasks for Label Studio: ``tasks.json``, with an image task for each frame, and ``images``.

    Label Studio has no masks of videos. Each task has a prediction with a brush mask for each object, labelled with its
    name, and with its id as text. The images are named as local files below ``images``: serve the folder that holds it
    as Label Studio's local storage (``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT``). The labelling configuration needs
    ``<Image name="image" value="$image"/>`` and ``<BrushLabels name="tag" toName="image">``.
    """

    own = ("tasks.json", "images/*.jpg")

    def frame_files(self, result: FrameResult) -> Mapping[str, bytes]:
        """See `FolderOutput.frame_files`."""
        return {f"images/{result.frame.name}.jpg": encode_jpeg(result.frame.image)}

    def frame_lines(self, result: FrameResult) -> Mapping[str, str]:
        """See `FolderOutput.frame_lines`."""
        task = {
            "data": {
                "image": f"/data/local-files/?d=images/{quote(result.frame.name)}.jpg",
                "frame": result.index,
                "seconds": result.frame.time_seconds,
            },
            "predictions": [{"model_version": "persam-video", "result": _regions(result)}],
        }
        text = json.dumps(task, ensure_ascii=False, separators=(",", ":"))
        return {"tasks.json": (",\n" if self.count else "[\n") + text}

    def last_lines(self) -> Mapping[str, str]:
        """See `FolderOutput.last_lines`."""
        return {"tasks.json": "\n]\n"}


def _regions(result: FrameResult) -> list[dict[str, Any]]:
    height, width = result.label_map.shape
    return [
        {
            "id": f"{result.frame.name}-{i}",
            "type": "brushlabels",
            "from_name": "tag",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": result.scores[i],
            "meta": {"text": [f"object {i}"]},
            "value": {"format": "rle", "rle": brush_runs(result.mask(i)), "brushlabels": [name_of(result, i)]},
        }
        for i in result.object_ids
        if result.visible[i]
    ]


def brush_runs(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Run lengths of a brush mask as Label Studio decodes them (``decode_rle`` of its SDK), as bytes.

    They are of an RGBA image, whose four channels are 255 or 0, along the rows. After the number of values (32 bits),
    the bits of a value less 1 (5) and the four sizes of a run's length, each less 1 (4 each), there are runs: a bit 1,
    which size its length has (2), the length less 1, and the value (8).

    Args:
        mask: bool, H×W.
    """
    flat = mask.ravel()
    starts = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]))
    bits = [f"{flat.size * _CHANNELS:032b}", f"{_VALUE_BITS - 1:05b}", *(f"{each - 1:04b}" for each in _RUN_BITS)]
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        value = f"{255 if flat[start] else 0:08b}"
        left = (end - start) * _CHANNELS
        while left:
            number = next((n for n, size in enumerate(_RUN_BITS) if left <= 1 << size), len(_RUN_BITS) - 1)
            length = min(left, 1 << _RUN_BITS[number])
            bits.append(f"1{number:02b}{length - 1:0{_RUN_BITS[number]}b}{value}")
            left -= length
    text = "".join(bits)
    padded = text + "0" * (-len(text) % 8)
    return list(int(padded, 2).to_bytes(len(padded) // 8, "big"))

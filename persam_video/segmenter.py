"""Segmentation of single images from one or more reference images (PerSAM §3.2, §3.3)."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from persam_video.arrays import ImageSource, to_frame
from persam_video.errors import AnnotationError, InputError
from persam_video.frame import IGNORE_ID, Frame, ids_in
from persam_video.inputs.first_mask import MaskSource, check_label_map
from persam_video.methods.persam.segmentation import PERSAM, PERSAM_F_IMAGES, PersamConfig, personalise, segment
from persam_video.methods.persam.target import Targets
from persam_video.options import DEFAULT_IMAGE_METHOD, IMAGE_METHODS
from persam_video.result import FrameResult
from persam_video.runtime.ambient import isolated
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import to_label_map

_CONFIGS = {"persam": PERSAM, "persam-f": PERSAM_F_IMAGES}


class Segmenter:
    """Finds the objects of reference images in other images, each on its own.

        segmenter = Segmenter(load_sam("vit_t"), [(reference_image, label_map)])
        label_map = segmenter.segment(image).label_map

    Args:
        sam: from `load_sam`.
        references: pairs of an image, RGB, uint8, H×W×3 (also a torch tensor or Pillow image), and its masks as for
            `Tracker.step`. All must show the same objects; an object's target is the mean over the images.
        method: ``persam`` or ``persam-f`` (`persam_video.options.IMAGE_METHODS`), or a `PersamConfig`.

    Attributes:
        object_ids: ids of the objects, in ascending order.
    Raises:
        InputError: there is no such method, or no reference.
        AnnotationError: a label map is not of its image's size, holds no object or an invalid id, or not the objects of
            the first one.
    """

    @isolated()
    def __init__(
        self,
        sam: Sam,
        references: Iterable[tuple[Frame | ImageSource, MaskSource]],
        *,
        method: str | PersamConfig = DEFAULT_IMAGE_METHOD,
    ) -> None:
        if isinstance(method, str) and method not in _CONFIGS:
            raise InputError(f"unknown method {method!r}; for images the methods are {', '.join(IMAGE_METHODS)}")
        pairs = _pairs(references)
        self._sam = sam
        self._config = _CONFIGS[method] if isinstance(method, str) else method
        self.object_ids: tuple[int, ...] = ()
        targets = [self._personalise(number, *reference) for number, reference in enumerate(pairs, start=1)]
        self._targets = Targets.pool(targets)

    @isolated()
    def segment(self, image: Frame | ImageSource) -> FrameResult:
        """Objects in an image.

        Args:
            image: RGB, uint8, H×W×3, of any size (also a torch tensor or Pillow image); or a `Frame`.
        Raises:
            InputError: it is no image.
        """
        frame = to_frame(image, name="the image")
        features = self._sam.encode(frame.image)
        logits, scores = segment(self._sam.decode, features, self._targets, self._config)
        label_map = to_label_map(logits, features.geometry, self.object_ids)
        return FrameResult.of(frame, label_map, dict(zip(self.object_ids, scores.tolist(), strict=True)))

    def _personalise(self, number: int, reference: Frame | ImageSource, label_map: MaskSource) -> Targets:
        name = f"the mask of reference {number}"
        image = to_frame(reference, name=f"the image of reference {number}").image
        checked = check_label_map(label_map, width=image.shape[1], height=image.shape[0], name=name)
        object_ids = ids_in(checked)
        if self.object_ids and object_ids != self.object_ids:
            ids, first_ids = (", ".join(map(str, each)) for each in (object_ids, self.object_ids))
            raise AnnotationError(
                f"{name} holds the objects {ids}, that of the first {first_ids}; "
                "all references must show the same objects"
            )
        self.object_ids = object_ids
        masks = torch.stack([torch.from_numpy(checked == i) for i in object_ids])
        ignored = torch.from_numpy(checked == IGNORE_ID)
        return personalise(self._sam.decode, self._sam.encode(image), masks, ignored, self._config)


def _pairs(
    references: Iterable[tuple[Frame | ImageSource, MaskSource]],
) -> list[tuple[Frame | ImageSource, MaskSource]]:
    """References, each a pair.

    Raises:
        InputError: there is none, or one is no pair.
    """
    pairs = list(references) if isinstance(references, Iterable) else [references]
    if not pairs:
        raise InputError("no reference was given; give at least one image with its mask")
    for number, pair in enumerate(pairs, start=1):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(
                f"reference {number} is of the type {type(pair).__name__}; give pairs of an image and its mask"
            )
    return pairs

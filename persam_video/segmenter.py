"""Segmenting in any pictures what is given in one, or in several (PerSAM §3.2, §3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from persam_video.errors import AnnotationError, InputError
from persam_video.frame import IGNORE_ID, Frame, FrameResult, Image, ids_in
from persam_video.inputs.first_mask import check_label_map
from persam_video.methods.persam.segmentation import PERSAM, PERSAM_F_IMAGES, Recipe, personalise, segment
from persam_video.methods.persam.target import Targets
from persam_video.options import DEFAULT_IMAGE_METHOD, IMAGE_METHODS
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import to_label_map

_RECIPES = {"persam": PERSAM, "persam-f": PERSAM_F_IMAGES}


class Segmenter:
    """Finds the objects of reference pictures in others.

    The objects are personalised when it is made. It remembers nothing of the pictures that it segments.

    Args:
        sam: from `load_sam`.
        references: pictures, RGB, uint8, H×W×3, each with its label map as for `Tracker`. All must show the same
            objects; what several tell of an object is pooled.
        method: ``persam`` or ``persam-f`` (`persam_video.options.IMAGE_METHODS`), or a `Recipe`.
    Raises:
        InputError: no such method, or no reference.
        AnnotationError: a label map is not of its picture's size, holds no object or no valid ids, or not the same
            objects as the first.
    """

    def __init__(
        self,
        sam: Sam,
        references: Sequence[tuple[Image, npt.ArrayLike]],
        *,
        method: str | Recipe = DEFAULT_IMAGE_METHOD,
    ) -> None:
        if isinstance(method, str) and method not in _RECIPES:
            raise InputError(f"unknown method {method!r}; for pictures the methods are {', '.join(IMAGE_METHODS)}")
        if not references:
            raise InputError("no reference was given; give at least one picture with its mask")
        self._sam = sam
        self._recipe = _RECIPES[method] if isinstance(method, str) else method
        self.object_ids: tuple[int, ...] = ()
        learned = [self._learn(number, *reference) for number, reference in enumerate(references, start=1)]
        self._targets = Targets.pool(learned)

    def segment(self, picture: Frame | Image) -> FrameResult:
        """Find all objects in a picture: a `Frame`, or RGB, uint8, H×W×3, of any size."""
        frame = picture if isinstance(picture, Frame) else Frame(index=0, image=picture, name="00000")
        features = self._sam.encode(frame.image)
        logits, scores = segment(self._sam.decode, features, self._targets, self._recipe)
        label_map = to_label_map(logits, features.geometry, self.object_ids)
        return FrameResult.of(frame, label_map, dict(zip(self.object_ids, scores.tolist(), strict=True)))

    def _learn(self, number: int, picture: Image, label_map: npt.ArrayLike) -> Targets:
        given = check_label_map(
            np.asarray(label_map),
            width=picture.shape[1],
            height=picture.shape[0],
            name=f"the mask of reference {number}",
        )
        object_ids = ids_in(given)
        if self.object_ids and object_ids != self.object_ids:
            shown, wanted = (", ".join(map(str, ids)) for ids in (object_ids, self.object_ids))
            raise AnnotationError(
                f"the mask of reference {number} holds the objects {shown}, that of the first {wanted}; "
                "all references must show the same objects"
            )
        self.object_ids = object_ids
        masks = torch.stack([torch.from_numpy(given == i) for i in object_ids])
        ignored = torch.from_numpy(given == IGNORE_ID)
        features = self._sam.encode(picture)
        return personalise(self._sam.decode, features, masks, ignored, self._recipe)

"""Appearance method, the default: a classifier of each object's appearance, optical flow and SAM (`fuse`).

The errors of their sum in an object's first frame are learned, too (`ResidualModel`). Only the returned masks are
corrected for them, not those that the next frame starts from: there a wrong correction would not be recognised as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from persam_video.frame import Frame, Image
from persam_video.methods.appearance.memory import Memory
from persam_video.methods.appearance.personalise import frame_cells, personalise
from persam_video.methods.appearance.scenes import pooled_cells
from persam_video.methods.appearance.settings import Settings
from persam_video.methods.appearance.step import Step
from persam_video.methods.cuts import Reduced
from persam_video.methods.flow import FlowInputs, reduced_image
from persam_video.runtime.cuda_graphs import GraphedCallable
from persam_video.sam.grids import LOW_RES_SIZE
from persam_video.sam.image_encoder import Features
from persam_video.sam.models import Sam
from persam_video.sam.object_masks import PROB_EPS
from persam_video.sam.window import Window


class AppearanceMethod:
    """Tracking by learned appearance, optical flow and SAM. See `Method` for the methods.

    Args:
        sam: from `load_sam`.
        settings: the constants.
    """

    windows = True

    def __init__(self, sam: Sam, settings: Settings | None = None) -> None:
        self._sam = sam
        self._settings = settings or Settings()
        self._step = GraphedCallable(Step(sam.decode, self._settings), sam.capture)
        self._memory: Memory | None = None
        self._window: Window | None = None  # of the memory; None: of restored objects
        self._image: Image | None = None  # of the previous frame

    def reduce(self, image: Image) -> Reduced:
        """Reduced image (`reduced_image`)."""
        return reduced_image(image)

    def prepare(self, reduced: Reduced, previous: Reduced | None) -> FlowInputs:
        """Optical flow of a frame, and whether it follows a cut."""
        return FlowInputs.of(previous, reduced, pinned=self._sam.device.type == "cuda")

    def add(self, frame: Frame, features: Features, masks: Tensor, ignored: Tensor) -> None:
        """Personalise further objects."""
        added = personalise(self._sam, frame, features, masks, ignored, self._settings)
        self._memory = added if self._memory is None else self._memory_in(features.window).concat(added)
        self._window, self._image = features.window, frame.image

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all objects but those of some rows."""
        self._memory = self._objects.select(torch.tensor(rows, dtype=torch.long, device=self._sam.device))

    def state(self) -> dict[str, Tensor]:
        """Personalised state of all objects (`Memory.state`), areas as in whole frames."""
        window = self._window
        return (self._objects if window is None else self._memory_in(self._whole(window))).state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Start with the objects of a `state`, all of them absent."""
        self._memory = Memory.from_state(state, self._settings)

    def find(self, frame: Frame, features: Features, prepared: FlowInputs) -> tuple[Tensor, Tensor]:
        """Find all objects in the next frame.

        An object's score is the product of SAM's predicted IoU, the mean evidence of the classifier within the mask,
        the overlap of the mask with the propagated one (if the object was visible), and the certainty of the fused
        probabilities. It is of the mask before the residual model corrects it.
        """
        flow, cut = (each.to(self._sam.device, non_blocking=True) for each in (prepared.flow, prepared.cut))
        memory = self._memory_in(features.window)
        if prepared.is_cut:
            memory = self._with_whole_scenes(memory)
        self._memory, logits, scores = self._step(memory, features, flow, cut)
        self._window, self._image = features.window, frame.image
        return logits, scores

    def _memory_in(self, window: Window) -> Memory:
        """Memory in a window of the next frame."""
        if self._window is None:  # restored: areas are as in whole frames, and there are no probabilities yet
            memory = self._objects.moved(self._whole(window), window)
            size = (len(memory.areas), *window.geometry.grid(LOW_RES_SIZE))
            return replace(memory, probabilities=memory.areas.new_full(size, PROB_EPS))
        return self._objects.moved(self._window, window)

    def _whole(self, window: Window) -> Window:
        return Window.whole((window.frame_height, window.frame_width), self._sam.options.size)

    def _with_whole_scenes(self, memory: Memory) -> Memory:
        """Memory before a cut, with the whole of the last frame as the scene that is left: objects are looked for in
        whole frames from there on."""
        if self._window is None or self._window.is_whole:
            return memory
        assert self._image is not None, "no frame was tracked"
        features = self._sam.encode(self._image)
        pooled = pooled_cells(*frame_cells(features), features.tensor.shape[2:])
        pairs = zip(memory.classifiers, memory.scenes, strict=True)
        return replace(memory, scenes=tuple(replace(scene, cells=each.descriptors(*pooled)) for each, scene in pairs))

    @property
    def _objects(self) -> Memory:
        assert self._memory is not None, "no object was added"
        return self._memory

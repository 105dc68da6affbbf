"""Conversion of decoded frames to upright RGB images: interlacing, colours, rotation.

Pixels stay as they are stored: a frame of non-square pixels (anamorphic video) is not stretched, because masks are
drawn on stored pixels. Transparency is dropped. HDR (PQ, HLG) is tone-mapped to SDR.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import Colorspace, VideoReformatter

from persam_video.frame import Image
from persam_video.video.hdr import HLG, PQ, ToneMapper

_SideData: Any = SideDataContainer  # the stub lists other kinds of keys, and no argument
_BT2020_PRIMARIES = {2, 9}  # AVCOL_PRI: what is not tagged is taken for what HDR has
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG: black 16, white 235
_HD_HEIGHT = 720  # from this height on, untagged video is BT.709
# AVColorSpace → the converter's matrix; others count as untagged.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_PLANAR = {"nv12": "yuv420p", "nv16": "yuv422p", "p010le": "yuv420p10le"}
"""Format of hardware decoders → that of software decoders: the converter makes other colours of the former."""
_LIMITED_TO_FULL = np.clip(np.rint((np.arange(256) - 16.0) * 255 / 219), 0, 255).astype(np.uint8)


class RgbConverter:
    """Converts decoded frames to upright RGB images, all of the size of the first one.

    Attributes:
        is_transposed: whether the last frame was turned by 90 or 270 degrees.
        scaled: how many frames had another size, upright, than the first one.
    """

    def __init__(self) -> None:
        self.is_transposed = False
        self.scaled = 0
        self._reformatter = VideoReformatter()  # shared by all frames: a new one would compute its tables again
        self._planar = VideoReformatter()
        self._tone_mapper = ToneMapper()
        self._size: tuple[int, int] | None = None  # upright: width, height

    def convert(self, frame: av.VideoFrame) -> Image:
        """Upright image of a frame: RGB, uint8, H×W×3, contiguous, full range.

        The matrix and the range are those of the frame's tags. Untagged video is taken as BT.709 from 720 stored rows
        on and as BT.601 below, limited range, as players do.
        """
        turn = _Turn.of(frame)
        self.is_transposed = turn.is_transposed
        size = (frame.height, frame.width) if turn.is_transposed else (frame.width, frame.height)
        self._size = self._size or size
        self.scaled += size != self._size  # players too scale a stream that changes its size
        width, height = self._size[::-1] if turn.is_transposed else self._size
        untagged = Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601
        planar = _PLANAR.get(frame.format.name)
        is_hdr = frame.color_trc in (PQ, HLG)
        rgb = self._reformatter.reformat(
            frame if planar is None else self._planar.reformat(frame, format=planar, threads=1),
            width=width,
            height=height,
            format="rgb48le" if is_hdr else "rgb24",
            src_colorspace=_MATRICES.get(frame.colorspace, Colorspace.BT2020 if is_hdr else untagged),
            threads=1,  # the model needs the other cores
        )
        image: Any = rgb.to_ndarray()
        if is_hdr:
            is_wide = frame.color_primaries in _BT2020_PRIMARIES
            image = self._tone_mapper.to_sdr(image, frame.color_trc, is_wide=is_wide)
        elif frame.format.name.startswith("gray") and frame.color_range == _LIMITED_RANGE:
            image = _LIMITED_TO_FULL[image]  # the converter takes all grey for full range
        # A copy, so that the image does not keep the decoder's buffers alive.
        return np.array(turn.upright(image), order="C")


@dataclass(frozen=True)
class _Turn:
    """How the stored image is turned and mirrored to be upright, in steps of 90 degrees."""

    is_transposed: bool
    mirror_x: bool
    mirror_y: bool

    @classmethod
    def of(cls, frame: av.VideoFrame) -> _Turn:
        """That of the frame's display matrix."""
        try:
            # Not ``frame.side_data``: that makes a reference cycle with the frame, so that dozens of frames keep their
            # buffers until the garbage collector runs.
            # Nor by name, ``side_data["DISPLAYMATRIX"]``: a KeyboardInterrupt in there is lost.
            matrices = [bytes(each) for each in _SideData(frame) if each.type.name == "DISPLAYMATRIX"]
        except ValueError:  # this PyAV has no name for other side data
            turns = round(frame.rotation / 90) % 4  # counterclockwise
            return cls(turns % 2 == 1, mirror_x=turns in (2, 3), mirror_y=turns in (1, 2))
        if not matrices:
            return cls(False, mirror_x=False, mirror_y=False)
        matrix = np.frombuffer(matrices[-1], dtype=np.int32)
        # A point (x, y) goes to (a x + c y, b x + d y).
        a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
        if abs(b) > abs(a):
            return cls(True, mirror_x=c < 0, mirror_y=b < 0)
        return cls(False, mirror_x=a < 0, mirror_y=d < 0)

    def upright(self, image: Image) -> Image:
        """View of a stored image, turned."""
        if self.is_transposed:
            image = image.transpose(1, 0, 2)
        return image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]


class Deinterlacer:
    """Deinterlaces the frames that are flagged as interlaced: one frame out for each frame in, with its time.

    Up to the first such frame, frames are returned unchanged and at once.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._layout: tuple[int, int, str] | None = None
        self._times: deque[tuple[int | None, int | None]] = deque()

    def push(self, frame: av.VideoFrame) -> list[av.VideoFrame]:
        """Pass the next frame in; returns the frames that are ready, in order."""
        layout = (frame.width, frame.height, frame.format.name)
        ready: list[av.VideoFrame] = []
        if self._graph is not None and layout != self._layout:
            ready = self.flush()
        if self._graph is None:
            if not frame.interlaced_frame:
                return [*ready, frame]
            self._graph, self._layout = _deinterlacing_graph(frame), layout
        self._times.append((frame.pts, frame.dts))
        self._graph.vpush(frame)
        return ready + self._pull()

    def flush(self) -> list[av.VideoFrame]:
        """The frames that the filter still holds, in order."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        ready = self._pull()
        self._graph = None
        self._times.clear()
        return ready

    def _pull(self) -> list[av.VideoFrame]:
        assert self._graph is not None
        ready = []
        while self._times:
            try:
                frame = self._graph.vpull()
            except (BlockingIOError, EOFError):
                break
            frame.pts, frame.dts = self._times.popleft()  # the filter has a time base of its own
            ready.append(frame)
        return ready


def _deinterlacing_graph(frame: av.VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph

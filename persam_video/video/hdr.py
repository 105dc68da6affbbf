"""Tone mapping of HDR images (PQ and HLG) to SDR with BT.709's primaries.

The curves are those of ITU-R BT.2100: light that a display emits is computed from the signal, moved to the primaries of
BT.709, compressed above the reference white, and encoded for an SDR display (BT.1886, as FFmpeg's zscale does).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from persam_video.frame import Image

PQ, HLG = 16, 18
"""Transfer functions, as AVColorTransferCharacteristic counts them: SMPTE ST 2084 and ARIB STD-B67."""

_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_BT2020_LUMA = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
_HDR_WHITE, _SDR_WHITE = 203.0, 100.0  # nits: BT.2408; the white of SDR displays in the studio
_SDR_PEAK = 125.0  # nits: with a little more than white, as compression overshoots
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2  # nits, and the gamma of a display with this peak
_KNEE = 0.8  # of white: brighter light is compressed
_GAMMA = 2.4  # of an SDR display
_STEPS = 1 << 13  # of the last table, whose index is a square root
_BRIGHTEST = 2.0  # of white: shown as 255
_ROWS = 256  # at once, so that memory does not grow with the image


class ToneMapper:
    """Tone mapping of the frames of one video, the same for all of them.

    White is 203 nits, as in what cameras record. Where the first frame is nowhere brighter than an SDR display, it is
    taken for an SDR video that was converted to HDR, with its white at 100 nits.
    """

    def __init__(self) -> None:
        self._white: float | None = None

    def to_sdr(self, image: npt.NDArray[np.uint16], transfer: int, *, is_wide: bool) -> Image:
        """SDR image, uint8, H×W×3.

        Args:
            image: the signal, RGB, uint16, H×W×3, full range.
            transfer: `PQ` or `HLG`.
            is_wide: whether the primaries are those of BT.2020.
        """
        if self._white is None:
            step = max(1, round((image.shape[0] * image.shape[1] / 250_000) ** 0.5))  # some pixels are enough
            light = _light(image[::step, ::step], transfer, is_wide=is_wide)
            self._white = _SDR_WHITE if np.quantile(light.max(axis=2), 0.999) <= _SDR_PEAK else _HDR_WHITE
        sdr = np.empty(image.shape, np.uint8)
        for row in range(0, len(image), _ROWS):
            light = _light(image[row : row + _ROWS], transfer, is_wide=is_wide)
            share = np.clip(light / (self._white * _BRIGHTEST), 0, 1, out=light)
            sdr[row : row + _ROWS] = _sdr_table()[(np.sqrt(share, out=share) * (_STEPS - 1)).astype(np.uint16)]
        return sdr


def _light(signal: npt.NDArray[np.uint16], transfer: int, *, is_wide: bool) -> npt.NDArray[np.float32]:
    """Light of a display in nits, float32, H×W×3, of BT.709's primaries; colours beyond them are below 0."""
    light: npt.NDArray[np.float32] = _light_table(transfer)[signal]
    if transfer == HLG:
        luma = cv2.transform(light, _BT2020_LUMA).reshape(*light.shape[:2], 1)
        light *= _HLG_PEAK * np.power(luma, _HLG_GAMMA - 1)
    return np.asarray(cv2.transform(light, _BT2020_TO_BT709), np.float32) if is_wide else light


@cache
def _light_table(transfer: int) -> npt.NDArray[np.float32]:
    """Light of each of the 65,536 signals: of PQ in nits, of HLG in the scene, 0 to 1."""
    signal = np.arange(1 << 16) / 0xFFFF
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = signal ** (1 / m2)
        return (10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


@cache
def _sdr_table() -> npt.NDArray[np.uint8]:
    """SDR value of light: the index is the square root of its share of the brightest."""
    light = np.linspace(0, 1, _STEPS) ** 2 * _BRIGHTEST
    rest = 1 - _KNEE
    compressed = _KNEE + rest * (1 - np.exp(-np.maximum(light - _KNEE, 0) / rest))
    return np.rint(255 * np.where(light <= _KNEE, light, compressed) ** (1 / _GAMMA)).astype(np.uint8)

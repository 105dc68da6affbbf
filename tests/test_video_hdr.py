"""HDR videos are read as the SDR videos that they were made of."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from persam_video.video.hdr import HLG, PQ, ToneMapper
from persam_video.video.reader import open_video

TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def scene() -> np.ndarray:
    """SDR image with all brightnesses and many colours, uint8, 96×160×3."""
    y, x = np.mgrid[0:96, 0:160]
    channels = [x * 255 / 159, 127 + 120 * np.sin(x / 17 + y / 11), y * 255 / 95]
    return np.rint(np.stack(channels, axis=2)).astype(np.uint8)


def to_hdr(image: np.ndarray, transfer: int, white: float) -> np.ndarray:
    """Signal of an SDR image, 0 to 1, by the inverse curves."""
    nits = (image / 255.0) ** 2.4 @ TO_BT2020.T * white
    if transfer == PQ:
        root = (nits / 10_000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)
    light = nits / 1000
    light *= np.maximum(light @ [0.2627, 0.678, 0.0593], 1e-9)[..., None] ** (-0.2 / 1.2)
    logarithm = 0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-9)) + 0.55991073
    return np.where(light <= 1 / 12, np.sqrt(3 * light), logarithm)


def write_hdr(path: Path, image: np.ndarray, transfer: int, white: float) -> Path:
    signal = np.rint(np.clip(to_hdr(image, transfer, white), 0, 1) * 65535).astype(np.uint16)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=25)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p10le"
        stream.options = {"preset": "ultrafast", "crf": "8", "x265-params": "log-level=none"}
        codec = stream.codec_context
        codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range = 9, 9, transfer, 1
        for _ in range(3):
            frame = VideoReformatter().reformat(
                av.VideoFrame.from_ndarray(signal, format="rgb48le"),
                format="yuv420p10le",
                dst_colorspace=Colorspace.BT2020,
                dst_color_range=ColorRange.MPEG,
            )
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("white", [100, 203])
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_is_as_bright_and_colourful_as_sdr(transfer: int, white: float, tmp_path: Path) -> None:
    original = scene()
    with open_video(write_hdr(tmp_path / "hdr.mp4", original, transfer, white)) as reader:
        for frame in reader:
            for channel in range(3):
                found, wanted = frame.image[..., channel].astype(float), original[..., channel].astype(float)
                assert abs(found.mean() - wanted.mean()) < 5
                assert found.std() == pytest.approx(wanted.std(), rel=0.1)
                assert np.abs(found - wanted).mean() < 8


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_highlights_are_compressed_and_brightness_stays(transfer: int) -> None:
    """All frames of a video are mapped alike; 1,000 nits are white, and brighter light is never darker."""
    ramp = np.repeat(np.linspace(0, 65535, 4096).astype(np.uint16)[None, :, None], 3, axis=2)
    mapper = ToneMapper()
    full = mapper.to_sdr(ramp, transfer, is_wide=True)
    assert (np.diff(full[0].astype(int), axis=0) >= 0).all()
    assert full[0, 0].tolist() == [0, 0, 0] and full[0, -1].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(mapper.to_sdr(ramp[:, :800], transfer, is_wide=True), full[:, :800])


def test_primaries_of_sdr_are_kept() -> None:
    red = np.zeros((4, 4, 3), np.uint16)
    red[..., 0] = 30000
    assert (ToneMapper().to_sdr(red, PQ, is_wide=False)[..., 1:] == 0).all()


def test_any_size(tmp_path: Path) -> None:
    image = np.ascontiguousarray(np.resize(scene(), (600, 64, 3)))  # more rows than are mapped at once
    signal = np.rint(to_hdr(image, PQ, 203) * 65535).astype(np.uint16)
    whole = ToneMapper().to_sdr(signal, PQ, is_wide=True)
    assert np.abs(whole.astype(int) - image).mean() < 5

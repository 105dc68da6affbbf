"""Background of the demo scene: a landscape of layers that scroll, nearer ones faster (parallax)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from demo_painter import AnyFloats, ByteArray, FloatArray, fractal_noise, hsv, mix, smooth_step


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of the landscape, which repeats horizontally.

    Args:
        rgb: uint8, h×w×3, premultiplied by alpha; w is the image's width, one tile and a pixel, so that a shift by a
            fraction of a pixel never reads past the end.
        alpha: uint8, h×w×3; None: opaque.
        top: first row in the image.
        tile: period, pixels.
        speed: pixels per frame.
    """

    rgb: ByteArray
    alpha: ByteArray | None
    top: int
    tile: int
    speed: float

    def draw(self, image: ByteArray, index: int) -> None:
        """Draw the layer over an image, shifted as in frame ``index``."""
        width = image.shape[1]
        shift = (index * self.speed) % self.tile
        start, fraction = int(shift), shift % 1

        def shifted(channels: ByteArray) -> ByteArray:
            left, right = channels[:, start : start + width], channels[:, start + 1 : start + 1 + width]
            return np.asarray(cv2.addWeighted(left, 1 - fraction, right, fraction, 0), np.uint8)

        target = image[self.top : self.top + len(self.rgb)]
        target[:] = shifted(self.rgb) if self.alpha is None else over(target, shifted(self.rgb), shifted(self.alpha))


def over(below: ByteArray, rgb: ByteArray, alpha: ByteArray) -> ByteArray:
    """Image premultiplied by its alpha, composited over another; all uint8, H×W×3."""
    return np.asarray(cv2.add(rgb, cv2.multiply(below, cv2.bitwise_not(alpha), scale=1 / 255)), np.uint8)


class Landscape:
    """Sky, mountains, hills and a meadow, which scroll at different speeds.

    Args:
        width: of the frame, pixels.
        height: of the frame, pixels.
        seed: of the random landscape.
    """

    def __init__(self, width: int, height: int, seed: int) -> None:
        self.width, self.height = width, height
        self.tile = 2 * width
        self.rng = np.random.default_rng([seed, 3])
        self.layers = [self._sky(), *self._mountains(), self._meadow()]

    def render(self, index: int) -> ByteArray:
        """Frame ``index``, RGB, uint8, H×W×3."""
        image = np.empty((self.height, self.width, 3), np.uint8)
        for layer in self.layers:
            layer.draw(image, index)
        return image

    def _layer(self, colour: AnyFloats, ridge: FloatArray | None, top: int, speed: float) -> Layer:
        """Layer of one colour or texture, opaque below the ``ridge`` (row of each column)."""
        colour = np.clip(colour, 0, 1)
        alpha = None
        if ridge is not None:
            rows = np.arange(len(colour), dtype=np.float32)[:, None] + top
            cover = np.clip(rows - ridge + 0.5, 0, 1)[..., None].repeat(3, axis=2)
            colour = colour * cover
            alpha = np.rint(cover * 255).astype(np.uint8)
            alpha = np.concatenate([alpha, alpha[:, : self.width + 1]], axis=1)
        rgb = np.rint(colour * 255).astype(np.uint8)
        rgb = np.concatenate([rgb, rgb[:, : self.width + 1]], axis=1)
        return Layer(rgb, alpha, top, self.tile, speed * self.width)

    def _noise(self, rows: int, coarse: float, fine: float, stretch: float = 1.0) -> FloatArray:
        """Noise as wide as a tile; wavelengths are relative to the frame's height."""
        # Finer noise would be lost in compression and only cost bits.
        finest = max(fine * self.height, 2.0)
        return fractal_noise(self.rng, rows, self.tile, coarse=coarse * self.height, fine=finest, stretch=stretch)

    def _ridge(self, level: float, swing: float, waves: int) -> FloatArray:
        """Row of a horizon in each column of a tile; ``level`` and ``swing`` are relative to the frame's height."""
        phase = np.arange(self.tile, dtype=np.float32) * np.float32(2 * np.pi / self.tile)
        result = np.zeros(self.tile, np.float32)
        for octave in range(5):
            wave = np.sin(phase * round(waves * 1.9**octave) + self.rng.uniform(0, 2 * np.pi))
            result += wave.astype(np.float32) * 0.45**octave
        return np.asarray((level + swing * result) * self.height, np.float32)

    def _sky(self) -> Layer:
        rows = int(0.72 * self.height)
        down = np.linspace(0, 1, rows, dtype=np.float32)[:, None].repeat(self.tile, axis=1)
        hue = 0.57 + self.rng.uniform(-0.02, 0.02)
        colour = mix(mix(hsv(hue, 0.55, 0.86), hsv(hue - 0.03, 0.22, 0.96), down), (0.99, 0.90, 0.80), down**3)
        density = self._noise(rows, 0.7, 0.07, 0.5) + 0.2
        cloud = smooth_step(density, 0.1, 1.6) * (1 - 0.55 * down)
        lit = np.clip(0.93 + 0.05 * (density - np.roll(density, -max(rows // 40, 1), axis=0)), 0.8, 1.0)
        return self._layer(mix(colour, np.repeat(lit[..., None], 3, axis=2), cloud * 0.85), None, 0, 0.0005)

    def _mountains(self) -> list[Layer]:
        layers = []
        plans = [  # ridge level, swing, waves, far colour, near colour, speed
            (0.47, 0.055, 5, hsv(0.60, 0.26, 0.74), hsv(0.55, 0.22, 0.86), 0.0010),
            (0.57, 0.035, 4, hsv(0.42, 0.28, 0.58), hsv(0.36, 0.28, 0.72), 0.0018),
            (0.67, 0.030, 3, hsv(0.30, 0.42, 0.50), hsv(0.26, 0.46, 0.66), 0.0028),
        ]
        for number, (level, swing, waves, dark, bright, speed) in enumerate(plans):
            ridge = self._ridge(level, swing, waves)
            top = max(int(ridge.min()) - 1, 0)
            rows = min(int(0.36 * self.height), self.height - top)  # the next layer covers the rest
            below = (np.arange(rows, dtype=np.float32)[:, None] + top - ridge) / self.height
            texture = self._noise(rows, 0.10, 0.012 + 0.004 * (2 - number), 1.5)
            tone = 0.5 + 0.20 * texture + 1.2 * np.clip(below, 0, 0.25)
            colour = mix(dark, bright, np.clip(tone, 0, 1)) * (1 + 0.10 * smooth_step(-below, -0.02, 0))[..., None]
            layers.append(self._layer(colour, ridge, top, speed))
        return layers

    def _meadow(self) -> Layer:
        ridge = self._ridge(0.79, 0.018, 2)
        top = int(ridge.min()) - 1
        rows = self.height - top
        depth = (np.arange(rows, dtype=np.float32)[:, None] + top - ridge) / (0.25 * self.height)
        blades = self._noise(rows, 0.10, 0.010, 0.35)
        patches = self._noise(rows, 0.5, 0.05, 2.0)
        colour = mix(hsv(0.24, 0.55, 0.66), hsv(0.28, 0.66, 0.42), np.clip(depth, 0, 1))
        colour = mix(colour, hsv(0.17, 0.50, 0.74), 0.35 * smooth_step(patches, -0.2, 1.8))
        colour = colour * (1 + 0.13 * blades * (0.5 + 0.5 * np.clip(depth, 0, 1)))[..., None]
        image = np.ascontiguousarray(np.clip(colour, 0, 1) * 255).astype(np.uint8)
        for x, share in zip(self.rng.uniform(0, self.tile, 90), self.rng.uniform(0.08, 1, 90), strict=True):
            self._pebble_or_flower(image, x, share * rows, (0.35 + share) * 0.010 * self.height)
        return self._layer(image.astype(np.float32) / 255, ridge, top, 0.0045)

    def _pebble_or_flower(self, image: ByteArray, x: float, y: float, radius: float) -> None:
        """Draw a pebble or a flower in the grass, on both sides where it crosses the seam of the tile."""
        flower = self.rng.random() < 0.6
        tint = hsv(self.rng.choice([0.0, 0.13, 0.83, 0.93]), 0.25 + 0.4 * self.rng.random(), 0.97)
        grey = self.rng.uniform(0.50, 0.78)

        def blob(cx: float, cy: float, rx: float, ry: float, colour: Sequence[float]) -> None:
            for seam in (-self.tile, 0, self.tile):
                centre = round((cx + seam) * 16), round(cy * 16)
                axes = round(rx * 16), round(ry * 16)
                rgb = [255 * channel for channel in colour]
                cv2.ellipse(image, centre, axes, 0, 0, 360, rgb, -1, cv2.LINE_AA, 4)

        blob(x + 0.2 * radius, y + 0.5 * radius, radius * 1.3, radius * 0.7, (0.20, 0.30, 0.14))
        if flower:
            for turn in np.arange(5) * 2 * np.pi / 5:
                blob(x + 0.6 * radius * np.cos(turn), y + 0.5 * radius * np.sin(turn), radius / 2, radius / 2.3, tint)
            blob(x, y, radius / 3, radius / 3, (0.98, 0.80, 0.25))
        else:
            blob(x, y, radius * 1.3, radius * 0.8, (grey, grey * 0.97, grey * 0.92))
            blob(x - 0.3 * radius, y - 0.25 * radius, radius * 0.6, radius * 0.3, [min(grey * 1.2, 1.0)] * 3)

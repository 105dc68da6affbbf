"""Procedural shading from curves and noise, for the toys and the landscape of the demo scene.

Coordinates of a `Painter`: x to the right, y down, the toy inside the unit circle around (0, 0). A *distance* is a
signed distance field, float32, S×S: distance to the edge of a part, negative inside, in the same units. Colours are
RGB, 0 to 1.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]
AnyFloats = npt.NDArray[np.floating[Any]]
Colour = AnyFloats | tuple[float, float, float]
Points = Sequence[tuple[float, float]]

EXTENT = 1.12
"""Half the side of a sprite in toy units: a margin around the unit circle."""

WHITE = (0.97, 0.96, 0.92)
BLACK = (0.09, 0.08, 0.10)
LIGHT = np.array([-0.42, -0.60, 0.68], np.float32)
HALFWAY = np.add(LIGHT, [0, 0, 1]) / np.linalg.norm(np.add(LIGHT, [0, 0, 1]))


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, *, coarse: float, fine: float, stretch: float = 1.0
) -> FloatArray:
    """Noise with a 1/f spectrum that tiles in both directions.

    Args:
        rng: source of randomness.
        height: rows of the result.
        width: columns of the result.
        coarse: wavelength of the largest structure, pixels.
        fine: wavelength of the smallest structure, pixels.
        stretch: ratio of height to width of the structures.

    Returns:
        float32, height×width, mean 0, standard deviation 1.
    """
    white = rng.standard_normal((height, width), np.float32)
    rows, columns = np.fft.fftfreq(height) * stretch, np.fft.rfftfreq(width)
    frequency = np.hypot(rows.astype(np.float32)[:, None], columns.astype(np.float32)[None, :])
    band = np.exp(-((frequency * np.float32(fine)) ** 2)) / np.maximum(frequency, np.float32(1 / coarse))
    band[frequency < 0.5 / coarse] = 0
    noise = np.fft.irfft2(np.fft.rfft2(white) * band, s=(height, width)).astype(np.float32)
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-9), np.float32)


def smooth_step(value: AnyFloats, low: float, high: float) -> FloatArray:
    """Smooth step from 0 at ``low`` to 1 at ``high``, float32."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def mix(first: Colour, second: Colour, amount: AnyFloats | float) -> FloatArray:
    """Blend of two colours, ``second`` where ``amount`` is 1: float32, 3, or H×W×3 if an argument is an array."""
    weight = np.asarray(amount, np.float32)[..., None]
    return np.asarray(first, np.float32) * (1 - weight) + np.asarray(second, np.float32) * weight


def hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    """RGB of a colour; the hue is in turns, any number."""
    return colorsys.hsv_to_rgb(hue % 1, saturation, value)


def closed_curve(points: Points | npt.NDArray[np.float64], steps: int = 16) -> npt.NDArray[np.float64]:
    """Closed Catmull-Rom curve through points, float64, M×2."""
    p1 = np.asarray(points, float)
    p0, p2, p3 = (np.roll(p1, shift, axis=0)[:, None] for shift in (1, -1, -2))
    p1 = p1[:, None]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return np.asarray(curve.reshape(-1, 2))


class Painter:
    """Square canvas on which shaded parts are drawn one over another.

    Args:
        side: pixels along each side.
        hue: turns added to all hues, so that two toys of a kind differ.
        rng: source of randomness of the textures.
    """

    def __init__(self, side: int, hue: float, rng: np.random.Generator) -> None:
        self.hue, self.rng = hue, rng
        self.pixel = 2 * EXTENT / side
        axis = ((np.arange(side) + 0.5) * self.pixel - EXTENT).astype(np.float32)
        self.x, self.y = np.meshgrid(axis, axis)
        self.rgb = np.zeros((side, side, 3), np.float32)
        self.alpha = np.zeros((side, side), np.float32)

    def tone(self, hue: float, saturation: float, value: float) -> tuple[float, float, float]:
        """RGB of a colour of the toy, with the toy's hue added."""
        return hsv(hue + self.hue, saturation, value)

    def noise(self, coarse: float, fine: float, stretch: float = 1.0) -> FloatArray:
        """Fractal noise with structures from ``fine`` to ``coarse`` toy units, float32, S×S."""
        side = len(self.x)
        smallest = max(fine / self.pixel, 1.5)
        return fractal_noise(self.rng, side, side, coarse=coarse / self.pixel, fine=smallest, stretch=stretch)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> FloatArray:
        """Distance to an ellipse (first order, exact for a circle)."""
        turn = np.deg2rad(degrees)
        dx, dy = self.x - cx + 1e-4, self.y - cy + 1e-4  # the formula is undefined at the centre
        u = (dx * np.cos(turn) + dy * np.sin(turn)) / rx
        v = (dy * np.cos(turn) - dx * np.sin(turn)) / ry
        length = np.hypot(u, v)
        return np.asarray(length * (length - 1) / np.hypot(u / rx, v / ry), np.float32)

    def rod(self, ax: float, ay: float, bx: float, by: float, radius: float, end_radius: float = 0.0) -> FloatArray:
        """Distance to a capsule from a to b, which tapers to ``end_radius``."""
        ux, uy = bx - ax, by - ay
        t = np.clip(((self.x - ax) * ux + (self.y - ay) * uy) / (ux * ux + uy * uy), 0, 1)
        thickness = radius + t * ((end_radius or radius) - radius)
        return np.asarray(np.hypot(self.x - ax - t * ux, self.y - ay - t * uy) - thickness, np.float32)

    def shape(self, points: Points | npt.NDArray[np.float64], *, smooth: bool = True) -> FloatArray:
        """Distance to a closed curve through points, or to their polygon."""
        outline = closed_curve(points) if smooth else np.asarray(points)
        coverage = np.zeros(self.alpha.shape, np.uint8)
        corners = np.rint(((outline + EXTENT) / self.pixel - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(coverage, [corners], 255, cv2.LINE_AA, shift=4)
        inside = (coverage >= 128).astype(np.uint8)
        distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5) - cv2.distanceTransform(inside, cv2.DIST_L2, 5)
        distance -= np.sign(distance) * np.float32(0.5)
        edge = (coverage > 0) & (coverage < 255)
        distance[edge] = 0.5 - coverage[edge] / np.float32(255)
        # The distance transform is an approximation, whose errors would be visible in the shading.
        return np.asarray(cv2.GaussianBlur(distance, (0, 0), 0.008 / self.pixel) * self.pixel, np.float32)

    def part(
        self,
        distance: FloatArray,
        colour: Colour,
        *,
        bulge: float = 0.3,
        gloss: float = 0.18,
        rim: float = 0.45,
        relief: FloatArray | None = None,
    ) -> None:
        """Draw a shaded part over the canvas.

        Args:
            distance: to its edge.
            colour: of the whole part, or S×S×3.
            bulge: distance from the edge up to which the surface is curved.
            gloss: strength of the highlight.
            rim: darkness of the outline, 0 to 1.
            relief: height map that roughens the surface, toy units.
        """
        near = distance < 0.25  # beyond that its shadow is invisible
        window = tuple(slice(int(hit.min()), int(hit.max()) + 1) for hit in np.nonzero(near))
        distance, tint = distance[window], np.asarray(colour, np.float32)
        tint = tint[window] if tint.ndim == 3 else tint
        steepness = np.clip(1 + distance / bulge, 0, 1)
        # Smoothed, as a distance has a crease wherever two edges are equally near.
        soft = cv2.GaussianBlur(distance, (0, 0), max(0.2 * bulge / self.pixel, 0.8))
        slope_y, slope_x = (steepness * np.clip(slope, -1, 1) for slope in np.gradient(soft, self.pixel))
        height = np.sqrt(np.clip(1 - slope_x**2 - slope_y**2, 1e-3, 1))
        normal = np.stack([slope_x, slope_y, height], axis=-1)
        if relief is not None:
            rough_y, rough_x = np.gradient(relief[window], self.pixel)
            normal[..., 0] -= rough_x
            normal[..., 1] -= rough_y
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        brightness = 0.52 + 0.58 * np.clip(normal @ LIGHT, 0, None)
        brightness *= 1 - rim * np.exp(-((distance / 0.028) ** 2))
        shaded = tint * brightness[..., None]
        shaded += gloss * np.clip(normal @ HALFWAY, 0, None)[..., None] ** 28
        cover = np.clip(0.5 - distance / self.pixel, 0, 1)[..., None]
        shade = 1 - 0.38 * np.exp(-np.clip(distance, 0, None) / 0.05)  # its soft shadow on the parts below
        self.rgb[window] = self.rgb[window] * shade[..., None] * (1 - cover) + np.clip(shaded, 0, 1) * cover
        self.alpha[window] = np.maximum(self.alpha[window], cover[..., 0])

    def eye(self, cx: float, cy: float, radius: float) -> None:
        """Draw a glossy black eye with a white highlight."""
        self.part(self.ellipse(cx, cy, radius, radius), BLACK, bulge=radius, gloss=0.3)
        self.part(self.ellipse(cx - radius / 3, cy - radius / 3, radius / 3.5, radius / 3.5), WHITE, rim=0, gloss=0)

    def dots(self, count: int, spacing: float, radius: float) -> FloatArray:
        """Distance to up to ``count`` circles at random positions, at least ``spacing`` apart."""
        centres: list[npt.NDArray[np.float64]] = []
        result = np.full(self.x.shape, 9, np.float32)
        for point in self.rng.uniform(-0.95, 0.95, (count * 8, 2)):
            if len(centres) < count and all(np.hypot(*(point - other)) > spacing for other in centres):
                centres.append(point)
                size = radius * self.rng.uniform(0.7, 1.2)
                np.minimum(result, self.ellipse(point[0], point[1], size, size), out=result)
        return result

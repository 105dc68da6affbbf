"""Toys of the demo scene, as images with anti-aliased alpha; `demo_painter` explains the units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from demo_painter import (
    BLACK,
    EXTENT,
    WHITE,
    ByteArray,
    FloatArray,
    Painter,
    closed_curve,
    hsv,
    mix,
    smooth_step,
)


@dataclass(frozen=True, eq=False)
class Sprite:
    """Image of a toy.

    Args:
        kind: one of ``KINDS``.
        rgb: uint8, S×S×3, premultiplied by alpha.
        alpha: uint8, S×S.
        reach: distance from the centre to the farthest visible point, relative to half the side.
    """

    kind: str
    rgb: ByteArray
    alpha: ByteArray
    reach: float


def _teddy(p: Painter) -> None:
    fur = mix(p.tone(0.075, 0.62, 0.72), p.tone(0.06, 0.68, 0.52), smooth_step(p.noise(0.3, 0.03), -1.5, 1.5))
    light = mix(p.tone(0.10, 0.38, 0.93), p.tone(0.09, 0.45, 0.78), smooth_step(p.noise(0.2, 0.03), -1.5, 1.5))
    relief = p.noise(0.07, 0.025) * 0.006
    for side in (-1, 1):
        p.part(p.rod(side * 0.30, 0.55, side * 0.46, 0.72, 0.20), fur, relief=relief, gloss=0.03)
        p.part(p.ellipse(side * 0.49, 0.74, 0.13, 0.15, side * 20), light, gloss=0.03, rim=0.3)
        p.part(p.rod(side * 0.34, 0.12, side * 0.62, 0.32, 0.17, 0.15), fur, relief=relief, gloss=0.03)
        p.part(p.ellipse(side * 0.42, -0.74, 0.2, 0.2), fur, relief=relief, gloss=0.03)
        p.part(p.ellipse(side * 0.43, -0.72, 0.11, 0.11), light, gloss=0.03, rim=0.3)
    p.part(p.ellipse(0, 0.36, 0.46, 0.50), fur, bulge=0.46, relief=relief, gloss=0.03)
    p.part(p.ellipse(0, 0.42, 0.28, 0.32), light, relief=relief, gloss=0.03, rim=0.25)
    p.part(p.ellipse(0, -0.38, 0.52, 0.45), fur, bulge=0.5, relief=relief, gloss=0.03)
    p.part(p.ellipse(0, -0.22, 0.23, 0.18), light, bulge=0.2, relief=relief, gloss=0.05, rim=0.25)
    p.part(p.ellipse(0, -0.30, 0.09, 0.065), BLACK, bulge=0.08, gloss=0.4)
    p.eye(-0.20, -0.46, 0.07)
    p.eye(0.20, -0.46, 0.07)
    for side in (-1, 1):
        p.part(p.shape([(0, 0.02), (side * 0.26, -0.12), (side * 0.30, 0.16)]), p.tone(0.98, 0.75, 0.85), bulge=0.12)
    p.part(p.ellipse(0, 0.02, 0.085, 0.085), p.tone(0.98, 0.7, 0.95), bulge=0.08)


def _ball(p: Painter) -> None:
    z = np.sqrt(np.clip(0.98**2 - p.x**2 - p.y**2, 0, None))
    axis = np.array([0.36, -0.42, 0.83])  # of the poles, where the stripes meet
    first = np.cross(axis, [0, 1, 0]) / np.linalg.norm(np.cross(axis, [0, 1, 0]))
    surface = np.stack([p.x, p.y, z], axis=-1)
    pole = np.asarray(surface @ axis / 0.98, np.float32)
    segment = (np.arctan2(surface @ np.cross(axis, first), surface @ first) / (2 * np.pi) * 6) % 6
    tones = [p.tone(h, s, v) for h, s, v in ((0, 0.82, 0.90), (0.14, 0.8, 0.98), (0.58, 0.8, 0.85))]
    colours = [tones[0], WHITE, tones[1], WHITE, tones[2], WHITE]
    colour = np.zeros((*p.x.shape, 3), np.float32) + WHITE
    for number in (0, 2, 4):
        off = np.abs((segment - number - 0.5 + 3) % 6 - 3)
        colour = mix(colour, colours[number], 1 - smooth_step(off, 0.47, 0.53))
    colour = mix(colour, WHITE, smooth_step(pole, 0.975, 0.98))
    colour *= 1 + 0.035 * p.noise(0.5, 0.05)[..., None]
    p.part(p.ellipse(0, 0, 0.98, 0.98), colour, bulge=0.98, gloss=0.45, rim=0.4)


def _star(p: Painter) -> None:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 0.96, 0.46)
    body = p.shape(np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1))
    middle = smooth_step(np.hypot(p.x, p.y), 0.1, 0.9)
    colour = (
        mix(p.tone(0.12, 0.75, 0.98), p.tone(0.03, 0.85, 0.88), middle) * (1 + 0.08 * p.noise(0.3, 0.03))[..., None]
    )
    p.part(body, colour, bulge=0.34, gloss=0.12, relief=p.noise(0.08, 0.03) * 0.004)
    for angle in angles[::2]:
        for step in range(5):
            reach, size = 0.16 + 0.15 * step, 0.055 - 0.007 * step
            dot = p.ellipse(reach * np.cos(angle), reach * np.sin(angle), size, size)
            p.part(dot, p.tone(0.14, 0.35, 1.0), bulge=size, rim=0.3)


def _fish(p: Painter) -> None:
    fin = mix(p.tone(0.10, 0.85, 0.98), p.tone(0.03, 0.9, 0.85), smooth_step(p.noise(0.5, 0.02, 0.2), -1, 1))
    p.part(p.shape([(-0.45, 0), (-0.92, -0.34), (-0.84, 0.02), (-0.90, 0.36)]), fin, bulge=0.1)
    p.part(p.shape([(-0.35, -0.35), (-0.12, -0.72), (0.30, -0.62), (0.35, -0.30)]), fin, bulge=0.1)
    p.part(p.shape([(-0.25, 0.35), (-0.30, 0.66), (0.02, 0.60), (0.12, 0.36)]), fin, bulge=0.1)
    body = p.shape(
        [
            (0.95, 0.02),
            (0.62, -0.34),
            (0.10, -0.48),
            (-0.40, -0.26),
            (-0.62, 0),
            (-0.40, 0.28),
            (0.1, 0.48),
            (0.62, 0.34),
        ]
    )
    row = np.floor(p.y / 0.11)
    cell_x = ((p.x + 0.065 * (row % 2)) / 0.13) % 1 - 0.5
    cell_y = p.y / 0.11 - row - 0.5
    scales = smooth_step(np.hypot(cell_x + 0.4, cell_y), 0.55, 0.8) * (p.x < 0.42)
    colour = mix(p.tone(0.09, 0.82, 0.98), p.tone(0.14, 0.45, 1.0), smooth_step(p.y, -0.1, 0.45))
    colour = mix(colour, p.tone(0.05, 0.9, 0.80), scales * 0.55)
    for centre in (0.40, -0.12):
        band = np.abs(p.x - centre + 0.25 * p.y**2)
        colour = mix(colour, WHITE, 1 - smooth_step(band, 0.09, 0.11))
    p.part(body, colour, bulge=0.45, gloss=0.25)
    p.part(p.shape([(0.12, 0.08), (-0.22, 0.02), (-0.26, 0.22), (-0.08, 0.26)]), fin, bulge=0.08)
    p.part(p.ellipse(0.64, -0.08, 0.12, 0.12), WHITE, bulge=0.12)
    p.eye(0.66, -0.08, 0.07)


def _mushroom(p: Painter) -> None:
    stem = p.shape([(-0.20, -0.1), (0.20, -0.1), (0.22, 0.4), (0.33, 0.82), (0, 0.92), (-0.33, 0.82), (-0.22, 0.4)])
    stripes = 1 + 0.07 * p.noise(0.5, 0.03, 5)[..., None]
    p.part(
        stem, np.asarray(mix((0.96, 0.92, 0.82), (0.80, 0.70, 0.55), smooth_step(p.y, 0.3, 1.0))) * stripes, bulge=0.25
    )
    p.part(
        p.ellipse(0, 0.10, 0.74, 0.16),
        np.asarray((0.86, 0.76, 0.62)) * (1 + 0.1 * np.sin(p.x * 70))[..., None],
        gloss=0,
    )
    cap = p.shape(
        [
            (-0.92, 0.10),
            (-0.80, -0.38),
            (-0.42, -0.78),
            (0, -0.88),
            (0.42, -0.78),
            (0.80, -0.38),
            (0.92, 0.10),
            (0.45, 0.06),
            (0, 0.02),
            (-0.45, 0.06),
        ]
    )
    red = mix(p.tone(0.99, 0.88, 0.88), p.tone(0.02, 0.9, 0.72), smooth_step(p.noise(0.6, 0.05), -1.5, 1.5))
    p.part(cap, red, bulge=0.6, gloss=0.35)
    spots = np.maximum(p.dots(16, 0.36, 0.12), cap + 0.03)
    p.part(spots, WHITE, bulge=0.06, gloss=0.05, rim=0.2)


def _balloon(p: Painter) -> None:
    basket = p.shape([(-0.17, 0.68), (0.17, 0.68), (0.14, 0.95), (-0.14, 0.95)], smooth=False)
    weave = np.sin(p.x * 60) * np.sin(p.y * 60)
    envelope = p.shape(
        [
            (0, -0.97),
            (0.42, -0.88),
            (0.71, -0.52),
            (0.70, -0.12),
            (0.42, 0.32),
            (0.17, 0.62),
            (-0.17, 0.62),
            (-0.42, 0.32),
            (-0.70, -0.12),
            (-0.71, -0.52),
            (-0.42, -0.88),
        ]
    )
    p.part(
        p.shape([(-0.16, 0.5), (0.16, 0.5), (0.13, 0.75), (-0.13, 0.75)], smooth=False), (0.30, 0.24, 0.22), bulge=0.1
    )
    p.part(basket, mix((0.62, 0.42, 0.22), (0.45, 0.28, 0.13), smooth_step(weave, -0.3, 0.3)), bulge=0.1, gloss=0.05)
    width = np.interp(p.y, [-0.97, -0.9, -0.52, -0.12, 0.32, 0.62], [0.05, 0.40, 0.72, 0.70, 0.42, 0.17])
    gore = np.arcsin(np.clip(p.x / width, -1, 1)) / np.pi * 8 + 0.5
    odd = smooth_step(np.cos(gore * np.pi).astype(np.float32), -0.12, 0.12)
    colour = mix(p.tone(0.80, 0.55, 0.72), p.tone(0.11, 0.65, 0.99), odd)
    zigzag = np.abs(p.y + 0.22 + 0.10 * (np.abs((gore % 2) - 1) - 0.5) * 2)
    colour = mix(colour, p.tone(0.95, 0.70, 0.90), 1 - smooth_step(zigzag, 0.11, 0.13))
    p.part(envelope, colour * (1 - 0.2 * np.abs(np.sin(gore * np.pi)) ** 12)[..., None], bulge=0.7, gloss=0.2)


def _car(p: Painter) -> None:
    paint = np.asarray(p.tone(0.60, 0.78, 0.90)) * (1 + 0.04 * p.noise(0.5, 0.04))[..., None]
    cabin = p.shape([(-0.55, 0.05), (-0.40, -0.42), (-0.05, -0.52), (0.30, -0.42), (0.52, 0.05), (0, 0.1)])
    p.part(cabin, paint, bulge=0.2, gloss=0.25)
    p.part(np.maximum(cabin + 0.10, np.abs(p.x + 0.02) * -1 + 0.04), (0.62, 0.82, 0.92), bulge=0.08, gloss=0.35)
    body = p.shape(
        [
            (-0.93, 0.10),
            (-0.72, -0.06),
            (-0.2, -0.10),
            (0.5, -0.10),
            (0.84, 0.02),
            (0.94, 0.22),
            (0.86, 0.40),
            (0, 0.43),
            (-0.86, 0.40),
            (-0.95, 0.28),
        ]
    )
    stripe = smooth_step(np.abs(p.y - 0.20), 0.035, 0.05)
    p.part(body, mix(p.tone(0.13, 0.75, 0.98), paint, stripe), bulge=0.28, gloss=0.3)
    p.part(p.ellipse(0.83, 0.10, 0.07, 0.08), (1.0, 0.95, 0.70), bulge=0.08)
    p.part(p.ellipse(-0.86, 0.12, 0.05, 0.07), (0.85, 0.15, 0.12), bulge=0.06)
    for cx in (-0.50, 0.50):
        p.part(
            p.ellipse(cx, 0.40, 0.25, 0.25),
            np.full((*p.x.shape, 3), 0.16) + 0.02 * p.noise(0.1, 0.02)[..., None],
            bulge=0.1,
        )
        p.part(p.ellipse(cx, 0.40, 0.14, 0.14), (0.82, 0.84, 0.87), bulge=0.1)
        p.part(p.ellipse(cx, 0.40, 0.045, 0.045), p.tone(0.98, 0.8, 0.85), bulge=0.04)


def _duck(p: Painter) -> None:
    yellow = mix(p.tone(0.145, 0.80, 1.0), p.tone(0.128, 0.85, 0.97), smooth_step(p.noise(0.8, 0.1), -1.5, 1.5))
    body = p.shape(
        [
            (-0.92, -0.10),
            (-0.70, 0.08),
            (-0.25, 0.0),
            (0.30, -0.05),
            (0.72, 0.10),
            (0.70, 0.52),
            (0.30, 0.80),
            (-0.30, 0.80),
            (-0.72, 0.50),
        ]
    )
    p.part(body, yellow, bulge=0.45, gloss=0.3)
    p.part(
        p.shape([(-0.50, 0.22), (-0.05, 0.16), (0.25, 0.26), (0.10, 0.52), (-0.25, 0.56)]),
        yellow,
        bulge=0.2,
        gloss=0.25,
    )
    beak = p.shape([(0.62, -0.42), (0.80, -0.46), (0.96, -0.34), (0.82, -0.22), (0.62, -0.22)])
    p.part(beak, p.tone(0.06, 0.9, 0.98), bulge=0.14, gloss=0.3)
    p.part(p.ellipse(0.34, -0.38, 0.40, 0.40), yellow, bulge=0.4, gloss=0.35)
    p.eye(0.48, -0.46, 0.075)


def _leaf(p: Painter) -> None:
    p.part(p.rod(0.0, 0.5, 0.06, 0.94, 0.035, 0.045), p.tone(0.10, 0.6, 0.45), bulge=0.04)
    outline = closed_curve(
        [
            (0, -0.97),
            (0.30, -0.62),
            (0.55, -0.20),
            (0.52, 0.25),
            (0.26, 0.58),
            (0, 0.68),
            (-0.26, 0.58),
            (-0.52, 0.25),
            (-0.55, -0.20),
            (-0.30, -0.62),
        ],
        24,
    )
    teeth = 1 + 0.035 * np.abs(((np.arange(len(outline)) / 6) % 2) - 1)
    vein = np.abs(((p.y + np.abs(p.x) * 0.8) / 0.17) % 1 - 0.5)
    colour = mix(p.tone(0.29, 0.75, 0.62), p.tone(0.24, 0.72, 0.78), smooth_step(p.noise(0.5, 0.03), -1.3, 1.3))
    colour = mix(p.tone(0.20, 0.45, 0.92), colour, smooth_step(vein, 0.03, 0.10))
    colour = mix(p.tone(0.18, 0.45, 0.95), colour, smooth_step(np.abs(p.x), 0.015, 0.04))
    relief = np.asarray(smooth_step(vein, 0.0, 0.5) * 0.02, np.float32)
    p.part(p.shape(outline * teeth[:, None] * 0.96, smooth=False), colour, bulge=0.3, gloss=0.12, relief=relief)


def _butterfly(p: Painter) -> None:
    for side in (-1, 1):
        lower = p.shape(
            [(side * 0.02, 0.05), (side * 0.45, 0.08), (side * 0.72, 0.35), (side * 0.58, 0.72), (side * 0.28, 0.62)]
        )
        upper = p.shape(
            [(side * 0.02, 0.12), (side * 0.20, -0.40), (side * 0.66, -0.72), (side * 0.93, -0.30), (side * 0.66, 0.12)]
        )
        for wing, hue in ((lower, 0.60), (upper, 0.55)):
            inner = mix(p.tone(hue, 0.75, 0.95), p.tone(hue + 0.07, 0.8, 0.75), smooth_step(-wing, 0.0, 0.3))
            veins = np.abs((np.arctan2(p.y, np.abs(p.x)) * 5) % 1 - 0.5)
            inner = mix(p.tone(hue, 0.9, 0.42), inner, smooth_step(veins, 0.02, 0.08))
            colour = mix(p.tone(hue + 0.03, 0.85, 0.22), inner, smooth_step(-wing, 0.08, 0.12))
            p.part(wing, colour * (1 + 0.07 * p.noise(0.2, 0.03))[..., None], bulge=0.15, gloss=0.1)
        for cx, cy, size in ((0.58, -0.36, 0.12), (0.46, 0.40, 0.09)):
            p.part(p.ellipse(side * cx, cy, size, size), p.tone(0.12, 0.7, 1.0), rim=0.3)
            p.part(p.ellipse(side * cx, cy, size / 2, size / 2), p.tone(0.98, 0.8, 0.75), rim=0.3)
    p.part(p.rod(0, -0.36, 0, 0.55, 0.10, 0.05), (0.24, 0.17, 0.15), bulge=0.1, relief=p.noise(0.06, 0.03) * 0.006)
    p.part(p.ellipse(0, -0.45, 0.12, 0.12), (0.26, 0.18, 0.16), bulge=0.12)


def _apple(p: Painter) -> None:
    body = p.shape(
        [
            (0, -0.42),
            (0.36, -0.58),
            (0.78, -0.36),
            (0.84, 0.15),
            (0.52, 0.74),
            (0.20, 0.86),
            (0, 0.80),
            (-0.20, 0.86),
            (-0.52, 0.74),
            (-0.84, 0.15),
            (-0.78, -0.36),
            (-0.36, -0.58),
        ]
    )
    streak = smooth_step(p.noise(0.8, 0.03, 5) + 1.6 * p.x + 0.8 * p.y, -1.2, 1.4)
    colour = mix(p.tone(0.15, 0.65, 0.92), p.tone(0.985, 0.85, 0.80), streak)
    colour = mix(colour, WHITE, (1 - smooth_step(p.dots(60, 0.16, 0.012), -0.005, 0.005)) * 0.5)
    p.part(body, colour, bulge=0.7, gloss=0.45)
    p.part(p.rod(0, -0.42, 0.10, -0.86, 0.045, 0.055), (0.42, 0.27, 0.15), bulge=0.05)
    p.part(p.shape([(0.06, -0.58), (0.24, -0.86), (0.60, -0.76), (0.36, -0.54)]), p.tone(0.28, 0.75, 0.65), bulge=0.1)


def _doughnut(p: Painter) -> None:
    around = np.arctan2(p.y, p.x)
    reach = np.hypot(p.x, p.y)
    dough = mix((0.88, 0.64, 0.34), (0.72, 0.46, 0.20), smooth_step(p.noise(0.4, 0.03), -1.5, 1.5))
    p.part(np.asarray(np.abs(reach - 0.59) - 0.36, np.float32), dough, bulge=0.36, gloss=0.1)
    wave = 0.03 * np.sin(around * 7 + p.rng.uniform(0, 6)) + 0.02 * np.sin(around * 11)
    icing = np.asarray(np.abs(reach - 0.59) - 0.27 - wave, np.float32)
    p.part(icing, p.tone(0.93, 0.48, 0.96), bulge=0.25, gloss=0.35, rim=0.3)
    for number, (angle, radius) in enumerate(
        zip(np.linspace(0, 2 * np.pi, 36), p.rng.uniform(0.42, 0.76, 36), strict=True)
    ):
        cx, cy, turn = radius * np.cos(angle), radius * np.sin(angle), p.rng.uniform(0, np.pi)
        dx, dy = 0.045 * np.cos(turn), 0.045 * np.sin(turn)
        p.part(p.rod(cx - dx, cy - dy, cx + dx, cy + dy, 0.022), hsv(number * 0.27, 0.6, 0.98), bulge=0.02, rim=0.2)


def _ladybird(p: Painter) -> None:
    for side in (-1, 1):
        for cy, tip in ((-0.2, -0.45), (0.15, 0.15), (0.45, 0.72)):
            p.part(p.rod(side * 0.4, cy, side * 0.84, tip * 0.9, 0.06, 0.045), BLACK, bulge=0.06)
    p.part(p.ellipse(0, -0.58, 0.36, 0.30), BLACK, bulge=0.3, gloss=0.3)
    for side in (-1, 1):
        p.part(p.ellipse(side * 0.20, -0.66, 0.09, 0.11, side * 25), WHITE, bulge=0.1)
    shell = p.ellipse(0, 0.16, 0.68, 0.74)
    colour = np.asarray(p.tone(0.0, 0.88, 0.88)) * (1 + 0.05 * p.noise(0.4, 0.04))[..., None]
    for cx, cy, size in (
        (0, -0.36, 0.17),
        (0.36, -0.10, 0.14),
        (0.30, 0.38, 0.16),
        (0.50, 0.16, 0.07),
        (0.14, 0.66, 0.08),
    ):
        spot = np.minimum(p.ellipse(cx, cy, size, size), p.ellipse(-cx, cy, size, size))
        colour = mix(BLACK, colour, smooth_step(spot, -0.01, 0.01))
    p.part(shell, mix(BLACK, colour, smooth_step(np.abs(p.x), 0.012, 0.03)), bulge=0.68, gloss=0.45)


def _cactus(p: Painter) -> None:
    def flesh(u: FloatArray) -> FloatArray:
        ribs = smooth_step(np.abs((u / 0.115) % 1 - 0.5), 0.05, 0.45)
        spines = 1 - smooth_step(np.hypot((u / 0.115) % 1 - 0.5, ((p.y + 0.04) / 0.13) % 1 - 0.5), 0.08, 0.16)
        return mix(mix(p.tone(0.36, 0.7, 0.42), p.tone(0.33, 0.65, 0.70), ribs), WHITE, spines * 0.8)

    for bx, by in ((-0.58, -0.22), (0.58, -0.42)):
        arm = np.minimum(p.rod(bx * 0.3, by + 0.4, bx, by + 0.36, 0.13), p.rod(bx, by + 0.36, bx, by, 0.13))
        p.part(arm, flesh(p.x - np.float32(bx)), bulge=0.13)
    p.part(p.rod(0, -0.60, 0, 0.5, 0.27), flesh(p.x), bulge=0.27)
    for turn in np.linspace(0, 2 * np.pi, 6)[:-1]:
        p.part(
            p.ellipse(0.1 * np.cos(turn), -0.83 + 0.06 * np.sin(turn), 0.08, 0.06), p.tone(0.93, 0.6, 0.95), bulge=0.06
        )
    clay = np.asarray((0.80, 0.43, 0.28)) * (1 + 0.06 * p.noise(0.3, 0.03))[..., None]
    p.part(
        p.shape([(-0.42, 0.42), (0.42, 0.42), (0.30, 0.93), (-0.30, 0.93)], smooth=False), clay, bulge=0.35, gloss=0.08
    )
    p.part(p.rod(-0.42, 0.46, 0.42, 0.46, 0.085), clay, bulge=0.085, gloss=0.08)


def _flower(p: Painter) -> None:
    streaks = 1 + 0.06 * p.noise(0.3, 0.03)[..., None]
    for ring, (reach, size, value) in enumerate(((0.60, 0.36, 0.90), (0.44, 0.28, 1.0))):
        for number in range(9):
            turn = (number + ring / 2) * 2 * np.pi / 9
            petal = p.ellipse(reach * np.cos(turn), reach * np.sin(turn), size, 0.19, float(np.rad2deg(turn)))
            colour = mix(p.tone(0.82, 0.62, value), p.tone(0.88, 0.25, 1.0), smooth_step(np.hypot(p.x, p.y), 0.3, 0.95))
            p.part(petal, colour * streaks, bulge=0.16, gloss=0.08, rim=0.35)
    seeds = p.noise(0.08, 0.04)
    middle = mix(p.tone(0.12, 0.9, 0.95), p.tone(0.07, 0.9, 0.55), smooth_step(seeds, -0.6, 1.2))
    p.part(p.ellipse(0, 0, 0.30, 0.30), middle, bulge=0.28, relief=seeds * 0.008, gloss=0.05)


def _cupcake(p: Painter) -> None:
    paper = p.shape([(-0.62, 0.10), (0.62, 0.10), (0.44, 0.92), (-0.44, 0.92)], smooth=False)
    fold = np.sin(p.x / (1 - 0.35 * p.y) * 42)
    p.part(
        paper,
        mix(p.tone(0.52, 0.55, 0.80), p.tone(0.50, 0.25, 0.98), smooth_step(fold, -0.5, 0.5)),
        bulge=0.35,
        gloss=0.05,
    )
    cream = mix(p.tone(0.10, 0.28, 0.99), p.tone(0.08, 0.42, 0.92), smooth_step(p.noise(0.4, 0.05), -1.5, 1.5))
    for cy, rx, ry in ((0.08, 0.76, 0.24), (-0.20, 0.58, 0.22), (-0.44, 0.38, 0.19)):
        p.part(p.ellipse(0, cy, rx, ry, -6), cream, bulge=0.22, gloss=0.15, rim=0.3)
    for number in range(26):
        cx, cy, turn = p.rng.uniform(-0.5, 0.5), p.rng.uniform(-0.5, 0.16), p.rng.uniform(0, np.pi)
        if abs(cx) < 0.44 + 0.6 * cy * (cy < 0):
            dx, dy = 0.04 * np.cos(turn), 0.04 * np.sin(turn)
            p.part(p.rod(cx - dx, cy - dy, cx + dx, cy + dy, 0.02), hsv(number * 0.31, 0.7, 0.95), bulge=0.02, rim=0.2)
    p.part(p.ellipse(0, -0.70, 0.19, 0.19), p.tone(0.97, 0.85, 0.80), bulge=0.19, gloss=0.5)


_KINDS: dict[str, Callable[[Painter], None]] = {
    "teddy": _teddy,
    "ball": _ball,
    "butterfly": _butterfly,
    "mushroom": _mushroom,
    "ladybird": _ladybird,
    "duck": _duck,
    "star": _star,
    "apple": _apple,
    "fish": _fish,
    "cupcake": _cupcake,
    "flower": _flower,
    "car": _car,
    "leaf": _leaf,
    "doughnut": _doughnut,
    "cactus": _cactus,
    "balloon": _balloon,
}
KINDS = tuple(_KINDS)


def make_sprite(kind: str, side: int, *, hue: float, rng: np.random.Generator) -> Sprite:
    """Sprite of one toy.

    Args:
        kind: one of ``KINDS``.
        side: pixels along each side.
        hue: turns by which its hues differ from those of its kind.
        rng: source of randomness of the textures.
    """
    painter = Painter(side, hue, rng)
    _KINDS[kind](painter)
    reach = float(np.hypot(painter.x, painter.y)[painter.alpha > 0].max()) / EXTENT
    rgb = np.rint(np.clip(painter.rgb, 0, 1) * 255).astype(np.uint8)
    return Sprite(kind, rgb, np.rint(painter.alpha * 255).astype(np.uint8), reach)

"""The demo scene: toys that move over a scrolling landscape, with the exact mask of each in every frame.

Every frame is a pure function of its index, so that frames can be rendered in any order and a clip of any length needs
no memory. Groups of three neighbours have one member of each role:

* the *passer* moves behind the occluder, first fully hidden, later partially;
* the *occluder* stays near its home position, grows and shrinks;
* the *leaver* leaves the frame on one side and returns on another.

The cycle of the first group has ``CYCLE_FRAMES`` frames, those of the others are longer, each by a different factor, so
that the scene as a whole is not periodic. At the start of a cycle a toy is at its home position.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from demo_landscape import Landscape, over
from demo_painter import EXTENT, ByteArray
from demo_sprites import KINDS, Sprite, make_sprite

CYCLE_FRAMES = 72
"""Cycle of the first group, in frames."""

MAX_OBJECTS = 254
MIN_SIDE, MAX_SIDE = 64, 8192

_EXIT = 0.56  # of a cycle: the leaver is out of the frame from here ...
_ENTER = 0.64  # ... to here
_GROWTH = 1.38  # largest size of a toy, relative to its size at home


@dataclass(frozen=True)
class Pose:
    """Pose of a toy: centre and radius in pixels, and clockwise rotation in degrees."""

    x: float
    y: float
    radius: float
    degrees: float


def _smooth_path(u: float, keys: Sequence[tuple[float, ...]]) -> list[float]:
    """Values at ``u`` of a cubic spline through keys ``(u, value, ...)``; its slope is 0 at both ends."""
    last = len(keys) - 1
    i = next((number for number in range(last) if u < keys[number + 1][0]), last - 1)
    span = keys[i + 1][0] - keys[i][0]
    t = min(max((u - keys[i][0]) / span, 0.0), 1.0)

    def slope(k: int, column: int) -> float:
        if k in (0, last):
            return 0.0
        return (keys[k + 1][column] - keys[k - 1][column]) / (keys[k + 1][0] - keys[k - 1][0]) * span

    return [
        (1 + 2 * t) * (1 - t) ** 2 * keys[i][column]
        + t * (1 - t) ** 2 * slope(i, column)
        + t * t * (3 - 2 * t) * keys[i + 1][column]
        - t * t * (1 - t) * slope(i + 1, column)
        for column in range(1, len(keys[0]))
    ]


def _grid(width: int, height: int, count: int) -> tuple[npt.NDArray[np.float64], float, float]:
    """Home positions of ``count`` toys, N×2, in pixels, neighbours side by side; half a cell's width and height."""
    cells = max(count, 3)  # two toys half the width apart would have to move too fast
    columns = max(range(1, cells + 1), key=lambda n: min(width / n, height / math.ceil(cells / n)))
    rows = math.ceil(cells / columns)
    homes = np.empty((count, 2))
    for number in range(count):
        row, column = divmod(number, columns)
        in_row = min(columns, cells - row * columns)
        column = (
            column if row % 2 == 0 else in_row - 1 - column
        )  # alternating direction, so that successive toys are neighbours
        homes[number] = width / 2 + (column + 0.5 - in_row / 2) * width / columns, (row + 0.5) * height / rows
    return homes, width / columns / 2, height / rows / 2


class Choreography:
    """Motion of all toys.

    Args:
        width: of the frame, pixels.
        height: of the frame, pixels.
        objects: number of toys.
        seed: of the random paths.
        toy_size: of the toys, relative to the largest that do not crowd one another, above 0 to 1.
    """

    def __init__(self, width: int, height: int, objects: int, seed: int, toy_size: float = 1.0) -> None:
        self.width, self.height, self.objects, self.seed = width, height, objects, seed
        self.homes, half_width, half_height = _grid(width, height, objects)
        self.radius = toy_size * min(0.225 * height, 0.225 * width, 0.92 * half_width, 0.92 * half_height)
        rng = np.random.default_rng([seed, 1])
        self.homes[:, 1] += rng.uniform(-1, 1, objects) * min(half_height - self.radius, 0.10 * height)
        self._wobble = rng.uniform(40, 75, (objects, 3))  # periods, frames
        self._swing = rng.uniform(14, 32, objects) * rng.choice([-1, 1], objects)  # degrees

    def role(self, number: int) -> str:
        """Role of a toy: ``passer``, ``occluder`` or ``leaver``."""
        alone = number == self.objects - 1 and number % 3 == 0
        return "leaver" if alone else ("passer", "occluder", "leaver")[number % 3]

    def pose(self, number: int, index: int) -> Pose:
        """Pose of toy ``number`` (from 0) in frame ``index``."""
        u, cycle = self._phase(number, index)
        role = self.role(number)
        if role == "passer":
            x, y, size = self._pass(number, index, u)
        elif role == "occluder":
            x, y, size = self._stay(number, u)
        else:
            x, y, size = self._leave(number, u, cycle)
        sway = [math.sin(2 * math.pi * index / period) for period in self._wobble[number]]
        amplitude = 0.06 * self.radius
        return Pose(
            x + amplitude * sway[0], y + amplitude * sway[1], self.radius * size, float(self._swing[number]) * sway[2]
        )

    def _phase(self, number: int, index: int) -> tuple[float, int]:
        """Phase of the toy's cycle, 0 to 1, and index of the cycle."""
        cycles = index / (CYCLE_FRAMES * (1 + 0.15 * (number // 3)))
        return cycles % 1, int(cycles)

    def _stay(self, number: int, u: float) -> list[float]:
        x, y = self.homes[number]
        step = 0.22 * self.radius
        return _smooth_path(
            u,
            [
                (0.0, x, y, 1.0),
                (0.18, x + step, y - step, 1.15),
                (0.37, x - step, y, _GROWTH),
                (0.60, x - step, y + step, 0.95),
                (0.80, x + step, y + 0.5 * step, 0.85),
                (1.0, x, y, 1.0),
            ],
        )

    def _pass(self, number: int, index: int, u: float) -> list[float]:
        front = self.pose(number + 1, index)
        away = self.homes[number] - self.homes[number + 1]
        aside = np.array([-away[1], away[0]]) / np.hypot(*away) * self.radius * 0.8
        keys = [
            (0.0, 1.0, 0.0, 1.0),
            (0.10, 1.0, 0.2, 1.05),
            (0.33, 0.14, 0.0, 0.78),
            (0.39, -0.16, 0.0, 0.78),
            (0.55, -0.70, -0.4, 1.05),
            (0.61, -0.68, -0.9, 1.10),
            (0.78, 0.30, -1.0, 0.85),
            (1.0, 1.0, 0.0, 1.0),
        ]
        along, beside, size = _smooth_path(u, keys)
        x, y = along * away + beside * aside
        # Relative to the occluder's current position, so that the toy is hidden wherever that moves; near the start
        # and the end of a cycle relative to the occluder's home.
        near = 0.5 - 0.5 * math.cos(math.pi * min(5 * u, 5 * (1 - u), 1.0))
        home = self.homes[number + 1]
        return [home[0] + near * (front.x - home[0]) + x, home[1] + near * (front.y - home[1]) + y, size]

    def _leave(self, number: int, u: float, cycle: int) -> list[float]:
        x, y = self.homes[number]
        reach = self.radius * 1.15
        exits = [(-reach, y), (self.width + reach, y), (x, -reach), (x, self.height + reach)]
        exits.sort(key=lambda point: math.dist(point, (x, y)))
        rng = np.random.default_rng([self.seed, 2, number, cycle])
        out, back = rng.permutation(3)[:2]  # the farthest side would need too high a speed

        def beyond(side_x: float, side_y: float) -> tuple[float, float]:
            return side_x + 0.4 * (side_x - x), side_y + 0.4 * (side_y - y)

        if u < 0.5 * (_EXIT + _ENTER):
            (ox, oy), step = exits[out], 0.3 * self.radius
            keys = [(0.0, x, y, 1.0), (0.13, x - step, y + step, 0.8), (0.22, x, y, 0.92)]
            return _smooth_path(u, [*keys, (_EXIT, ox, oy, 1.1), (_EXIT + 0.12, *beyond(ox, oy), 1.1)])
        bx, by = exits[back]
        keys = [(_ENTER - 0.12, *beyond(bx, by), 0.75), (_ENTER, bx, by, 0.75)]
        return _smooth_path(u, [*keys, (0.93, 0.1 * bx + 0.9 * x, 0.1 * by + 0.9 * y, 0.97), (1.0, x, y, 1.0)])


class DemoScene:
    """Synthetic video, whose frames and exact masks are rendered on demand.

    Args:
        width: of the frame, pixels, 64 to 8192.
        height: of the frame, pixels, 64 to 8192.
        objects: number of toys, 1 to 254; their ids are 1 to ``objects``.
        frames: number of frames.
        seed: of the random toys, paths and landscape.
        toy_size: of the toys, relative to the default.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        width: int = 854,
        height: int = 480,
        objects: int = 3,
        frames: int = CYCLE_FRAMES,
        seed: int = 0,
        toy_size: float = 1.0,
    ) -> None:
        if not all(MIN_SIDE <= side <= MAX_SIDE for side in (width, height)):
            raise ValueError(f"width and height must be {MIN_SIDE} to {MAX_SIDE} pixels, got {width}x{height}")
        if not 1 <= objects <= MAX_OBJECTS:
            raise ValueError(f"objects must be 1 to {MAX_OBJECTS}, got {objects}")
        if frames < 1:
            raise ValueError(f"frames must be at least 1, got {frames}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        if not 0.01 <= toy_size <= 1:
            raise ValueError(f"the toys' size must be 0.01 to 1, got {toy_size}")
        self.width, self.height, self.frames, self.seed = width, height, frames, seed
        self.object_ids = tuple(range(1, objects + 1))
        self._motion = Choreography(width, height, objects, seed, toy_size)
        self._landscape = Landscape(width, height, seed)
        self._toys = [self._make_toy(number) for number in range(objects)]
        order = ("passer", "leaver", "occluder")
        self._back_to_front = sorted(range(objects), key=lambda number: order.index(self._motion.role(number)))

    def __len__(self) -> int:
        return self.frames

    def kind(self, object_id: int) -> str:
        """Kind of toy of an object, for example ``teddy``."""
        return self._toys[object_id - 1].kind

    def render(self, index: int, *, hidden: Collection[int] = ()) -> tuple[ByteArray, ByteArray]:
        """Image and label map of one frame.

        Args:
            index: of the frame, from 0.
            hidden: ids of objects that are not drawn.

        Returns:
            Image, RGB, uint8, H×W×3, and label map, uint8, H×W: at each pixel the id of the frontmost object that
            covers at least half of it, or 0.

        Raises:
            IndexError: there is no such frame.
        """
        self._check(index)
        image = self._landscape.render(index)
        labels = np.zeros((self.height, self.width), np.uint8)
        for number in self._back_to_front:
            if number + 1 not in hidden:
                self._draw(number, index, labels, image)
        return image, labels

    def label_map(self, index: int) -> ByteArray:
        """Label map of a frame, as from `render`, without the cost of the image."""
        self._check(index)
        labels = np.zeros((self.height, self.width), np.uint8)
        for number in self._back_to_front:
            self._draw(number, index, labels, None)
        return labels

    def visible(self, index: int) -> dict[int, bool]:
        """Whether any pixel of the frame shows the object, by object id."""
        labels = set(np.unique(self.label_map(index)).tolist())
        return {object_id: object_id in labels for object_id in self.object_ids}

    def _check(self, index: int) -> None:
        if not 0 <= index < self.frames:
            raise IndexError(f"no frame {index}: the scene has frames 0 to {self.frames - 1}")

    def _make_toy(self, number: int) -> _Toy:
        repeat, kind = divmod(number, len(KINDS))
        rng = np.random.default_rng([self.seed, 4, number])
        # The first toys of seed 0 have their natural colours; repeated kinds differ in hue.
        hue = 0.38 * repeat + 0.05 * rng.uniform(-1, 1) * (self.seed > 0 or repeat > 0)
        side = min(max(round(2 * EXTENT * _GROWTH * self._motion.radius), 48), 1024)
        return _Toy(make_sprite(KINDS[(kind + 3 * self.seed) % len(KINDS)], side, hue=hue, rng=rng))

    def _draw(self, number: int, index: int, labels: ByteArray, image: ByteArray | None) -> None:
        """Draw one toy over the label map and, if not None, over the image."""
        pose = self._motion.pose(number, index)
        reach = pose.radius * 1.25  # with its shadow
        left, right = max(int(pose.x - reach), 0), min(int(pose.x + reach) + 2, self.width)
        top, bottom = max(int(pose.y - reach), 0), min(int(pose.y + reach) + 2, self.height)
        if left >= right or top >= bottom:
            return
        window = slice(top, bottom), slice(left, right)
        size = right - left, bottom - top
        toy = self._toys[number]
        rgb, alpha, matrix = toy.in_pose(pose, left, top)
        cover = _warp(alpha, matrix, size)
        if image is not None:
            below = image[window]
            soft = _warp(toy.shadow, toy.shadow_matrix(pose, left, top), size)
            below = np.asarray(cv2.multiply(below, cv2.merge([cv2.bitwise_not(soft)] * 3), scale=1 / 255), np.uint8)
            image[window] = over(below, _warp(rgb, matrix, size), np.asarray(cv2.merge([cover] * 3), np.uint8))
        labels[window][cover >= 128] = number + 1


class _Toy:
    """Mip levels of a sprite, and its shadow."""

    def __init__(self, sprite: Sprite) -> None:
        self.kind, self.reach = sprite.kind, sprite.reach
        self.levels = [(sprite.rgb, sprite.alpha)]
        while len(self.levels[-1][1]) >= 64:
            half = len(self.levels[-1][1]) // 2
            rgb, alpha = (cv2.resize(each, (half, half), interpolation=cv2.INTER_AREA) for each in self.levels[-1])
            self.levels.append((np.asarray(rgb, np.uint8), np.asarray(alpha, np.uint8)))
        small = cv2.resize(sprite.alpha, (64, 64), interpolation=cv2.INTER_AREA)
        self.shadow = np.asarray(cv2.GaussianBlur(small, (0, 0), 2.2) * 0.40, np.uint8)

    def in_pose(self, pose: Pose, left: float, top: float) -> tuple[ByteArray, ByteArray, npt.NDArray[np.float64]]:
        """RGB and alpha at a suitable mip level, and the affine matrix, 2×3, from the pixels of a window to theirs.

        Args:
            pose: pose of the toy in the frame.
            left: first column of the window in the frame.
            top: its first row.
        """
        diameter = 2 * pose.radius / self.reach
        # Linear interpolation reads 2×2 pixels: below a reduction by two no pixel is skipped.
        fitting = (level for level in reversed(self.levels) if len(level[1]) >= diameter)
        rgb, alpha = next(fitting, self.levels[0])
        return rgb, alpha, self._matrix(pose, left, top, len(alpha))

    def shadow_matrix(self, pose: Pose, left: float, top: float) -> npt.NDArray[np.float64]:
        """Matrix from the pixels of a window to those of the shadow, which is offset to the lower right of the toy."""
        return self._matrix(pose, left - 0.05 * pose.radius, top - 0.09 * pose.radius, len(self.shadow))

    def _matrix(self, pose: Pose, left: float, top: float, side: int) -> npt.NDArray[np.float64]:
        scale = side * self.reach / (2 * pose.radius)
        c, s = scale * math.cos(math.radians(pose.degrees)), scale * math.sin(math.radians(pose.degrees))
        dx, dy = left + 0.5 - pose.x, top + 0.5 - pose.y  # pixel centres are at halves
        return np.array([[c, s, c * dx + s * dy + side / 2 - 0.5], [-s, c, c * dy - s * dx + side / 2 - 0.5]])


def _warp(image: ByteArray, matrix: npt.NDArray[np.float64], size: tuple[int, int]) -> ByteArray:
    """Window, of (width, height) ``size``, of a transformed image."""
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP), np.uint8)

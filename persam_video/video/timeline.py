"""Times of packets that go on where a recording restarts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.packet import Packet

_LONGEST_GAP = 10
"""Seconds without a packet after which a recording is taken to have restarted, as FFmpeg does. A counter that starts
again from a lower value looks to FFmpeg as if it had overflowed, and jumps forward by hours."""


class Timeline:
    """Moves the times of one stream's packets so that they never go back, and never forward by more than ten seconds.

    Recordings of transmissions are joined by appending one to the other, and each has its own clock.

    Attributes:
        restarts: how often the times had to be moved.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._shift = 0
        self._last: int | None = None  # decoding time
        self._next = 0  # decoding time that the following packet should have

    def move(self, packet: Packet[Any]) -> None:
        """Move the times of the next packet, in the order of the file."""
        if packet.dts is not None:
            dts = packet.dts + self._shift
            if self._last is not None:
                unit = Fraction(packet.time_base.numerator, packet.time_base.denominator)
                if dts < self._last or (dts - self._next) * unit > _LONGEST_GAP:
                    self._shift += self._next - dts
                    dts = self._next
                    self.restarts += 1
            self._last, self._next = dts, dts + (packet.duration or 1)
        if self._shift:
            packet.dts = None if packet.dts is None else packet.dts + self._shift
            packet.pts = None if packet.pts is None else packet.pts + self._shift

"""The constants of the default method in one place, so that each can be varied and left out (`tools/quality.py`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What `AppearanceMethod` takes for granted. Log-odds are natural; cells are those of the low-res grid.

    Args:
        landmarks: cells of the first frame that stand for all in the classifier.
        bandwidth: of its kernel, exp(-|x - y|² / (2 × bandwidth)); unit features are at most 2 apart.
        colour_weight: of the squared difference of colours, 0 to 1 each, beside that of unit features.
        noise: the variance of a cell's coverage that the classifier leaves unexplained: the ridge.
        first_share: the weight of the first frame in what is learned: as much as that of all later ones.
        rate: the share of a new frame in the average of the later ones, at the most; 0: nothing is learned later.
        now_share: how far this frame's own levels of the scores count beside those of the frames before.
        most_sam: the limit of SAM's log-odds.
        most_appearance: the most that the classifier says for an object: half of SAM's limit, as it sees cells of 16
            pixels where SAM sees outlines.
        least_appearance: the most that it says against an object: as much as SAM may say for it, so that SAM cannot
            give an object to another.
        most_motion: the limit of the flow's log-odds.
        motion_weight: of those: low, as what the flow carries on are mistakes as well.
        reach_cells, reach_share: how far an object can get in a frame beyond its flow: cells, and sides of a square of
            its area.
        out_of_reach: the most that the classifier says beyond.
        box_margin: how far the box is grown on each side, in pixels of SAM's input (two cells).
        decodes: how often SAM is asked; a second time, with the sum, costs a third more and changes little.
        error_landmarks: places of the first frame from which an object's errors are learned (`Residuals`); 0: none are.
        error_colour_scale: a difference of colours, 0 to 1, that is a large one to them.
        error_doubt_scale: and of log-odds: as much as the classifier may say for an object.
        error_noise: their ridge: the variance of an error that they leave unexplained.
        lost: an object is absent when its mask stands out from what is around it by less than this share of how it did
            where it was given (`Presence.contrast`).
        found: an absent object is back above this share: what stands out is nearer to it than to nothing.
        elsewhere_times: it is also absent, or not back, when this many times as much of it is seen elsewhere as within
            its mask, and that is nearer (``found``) to what was seen of it where it was given than to what looked most
            like it there (`Presence`).
    """

    landmarks: int = 512
    bandwidth: float = 0.5
    colour_weight: float = 2.0
    noise: float = 0.1
    first_share: float = 0.5
    rate: float = 0.1
    now_share: float = 0.5
    most_sam: float = 6.0
    most_appearance: float = 3.0
    least_appearance: float = 6.0
    most_motion: float = 4.0
    motion_weight: float = 0.3
    reach_cells: float = 2.0
    reach_share: float = 0.4
    out_of_reach: float = -4.0
    box_margin: float = 8.0
    decodes: int = 1
    error_landmarks: int = 128
    error_colour_scale: float = 0.15
    error_doubt_scale: float = 3.0
    error_noise: float = 3.0
    lost: float = 0.3
    found: float = 0.5
    elsewhere_times: float = 3.0

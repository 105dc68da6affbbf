"""Constants of the appearance method, so that each can be varied or switched off (`tools/quality.py`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Constants of `AppearanceMethod`. Log-odds are natural; cells are of the low-res grid where no grid is named.

    Args:
        landmarks: maximum number of landmark cells of the classifier (`KernelRidge`), all from an object's first frame.
        bandwidth: of the classifier's kernel, exp(-|x - y|² / (2 × bandwidth)); unit features are at most 2 apart.
        colour_weight: weight of the squared difference of colours, 0 to 1 each, relative to that of unit features.
        noise: ridge of the classifier: variance of a cell's coverage that it leaves unexplained.
        first_frame_share: weight of the first frame in the classifier; the rest is that of the later frames.
        update_rate: maximum weight of a new frame in the moving average of the later frames; 0: no updates.
        current_frame_share: weight of the current frame's score statistics relative to those of the frames before.
        max_sam_log_odds: clamp of SAM's log-odds.
        max_positive_log_odds: upper clamp of the classifier's log-odds: half of SAM's, as a cell of the feature grid
            has 16 pixels where SAM finds outlines.
        max_negative_log_odds: lower clamp, negated: as high as SAM's, so that SAM alone cannot add another object.
        max_motion_log_odds: clamp of the propagated mask's log-odds.
        motion_weight: weight of those: low, as the flow propagates errors too.
        search_radius_cells: constant part of the distance that an object can move in a frame beyond its flow.
        search_radius_share: the rest of it, relative to the square root of the object's area.
        max_log_odds_out_of_reach: upper clamp of the classifier's log-odds beyond that distance.
        box_margin: margin of the box prompt on each side, in pixels of SAM's input (two cells).
        decodes: number of SAM decodes; a second one, prompted with the fused logits, costs a third more and changes
            little.
        error_landmarks: landmark cells of the residual model (`ResidualModel`); 0: no residual model.
        error_colour_scale: unit of its colour inputs: a difference of colours, 0 to 1, that is large.
        error_log_odds_scale: unit of its log-odds inputs: as large as ``max_positive_log_odds``.
        error_noise: its ridge: variance of an error that it leaves unexplained.
        lost_contrast: a visible object is absent when the contrast of its mask (`Presence.contrast`) is below this
            share of that in its first frame.
        found_contrast: an absent object is visible again above this share: nearer to its first contrast than to none.
        elsewhere_ratio: an object is also absent when this many times as many cells look like it elsewhere as within
            its mask, and their number is nearer (``found_contrast``) to that within its mask in its first frame than to
            that elsewhere (`Presence`).
        scene_similarity_share: after a cut, the contrast of a mask counts in full in a frame that is so similar to the
            scene in which the object was last seen (`Scene.similarity`), relative to the squared similarity of that
            scene's frames to the frame before. By a higher share fewer look-alikes are found in other scenes, and fewer
            objects in a view of their own scene that is new (`tools/scene_cuts.py clips`).
        min_scene_similarity: the least similarity for that: unrelated scenes are mostly below .5.
        scene_similarity_power: in less similar frames, contrast counts by the ratio to this power.
    """

    landmarks: int = 512
    bandwidth: float = 0.5
    colour_weight: float = 2.0
    noise: float = 0.1
    first_frame_share: float = 0.5
    update_rate: float = 0.1
    current_frame_share: float = 0.5
    max_sam_log_odds: float = 6.0
    max_positive_log_odds: float = 3.0
    max_negative_log_odds: float = 6.0
    max_motion_log_odds: float = 4.0
    motion_weight: float = 0.3
    search_radius_cells: float = 2.0
    search_radius_share: float = 0.4
    max_log_odds_out_of_reach: float = -4.0
    box_margin: float = 8.0
    decodes: int = 1
    error_landmarks: int = 128
    error_colour_scale: float = 0.15
    error_log_odds_scale: float = 3.0
    error_noise: float = 3.0
    lost_contrast: float = 0.3
    found_contrast: float = 0.5
    elsewhere_ratio: float = 3.0
    scene_similarity_share: float = 0.87
    min_scene_similarity: float = 0.6
    scene_similarity_power: float = 3.0

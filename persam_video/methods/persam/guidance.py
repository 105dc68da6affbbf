"""Target-guided attention and target-semantic prompting (PerSAM eq. 8-10)."""

from __future__ import annotations

from torch import Tensor

from persam_video.sam.two_way_transformer import Guidance


def build_guidance(confidence_maps: Tensor | None, semantics: Tensor | None) -> Guidance | None:
    """Guidance of SAM's decoder for N targets; None if there are neither maps nor semantics.

    Eq. 8 adds the softmax of the confidence map to the attention, which over thousands of cells is close to zero. The
    published code adds the sigmoid of the standardised map instead, and so does this function.

    Args:
        confidence_maps: float, N×rows×columns of the feature grid, for target-guided attention (eq. 8); or None.
        semantics: float, N×256, of `Targets`, for target-semantic prompting (eq. 10); or None.
    """
    if confidence_maps is None and semantics is None:
        return None
    attention = None
    if confidence_maps is not None:
        mean = confidence_maps.mean(dim=(1, 2), keepdim=True)
        std = confidence_maps.std(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        attention = ((confidence_maps - mean) / std).sigmoid()
    return Guidance(attention, semantics)

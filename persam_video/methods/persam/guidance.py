"""Target-guided attention and target-semantic prompting: what draws SAM's tokens to a target (PerSAM eq. 8-10)."""

from __future__ import annotations

from torch import Tensor

from persam_video.sam.two_way_transformer import Guidance


def guide(similarity: Tensor | None, semantics: Tensor | None) -> Guidance | None:
    """The guidance for N targets.

    By eq. 8 the softmax of the confidence map is added to the attention. Over some thousand places it is next to
    nothing, beside an attention that is no more; the published code adds the sigmoid of the standardised map, which is
    what is done here.

    Args:
        similarity: float, N×rows×columns of the features' grid, from `location_prior.similarities`; None: attention
            is not guided.
        semantics: float, N×256, of `Targets`; None: no semantic prompt.
    """
    if similarity is None and semantics is None:
        return None
    attention = None
    if similarity is not None:
        mean = similarity.mean(dim=(1, 2), keepdim=True)
        scatter = similarity.std(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        attention = ((similarity - mean) / scatter).sigmoid()
    return Guidance(attention, semantics)

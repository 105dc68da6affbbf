"""Train a diffusion model on a subject by DreamBooth, with the backgrounds left out of the loss. See dreambooth.md."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from persam_video.dreambooth import masked_loss


def load_photos(photos: Path, masks: Path, size: int) -> tuple[Tensor, Tensor]:
    """Photos, float, B×3×size×size, -1 to 1, and their masks, float, B×1×size×size."""
    pictures, foregrounds = [], []
    for path in sorted(masks.glob("*.png")):
        photo = next(each for each in photos.iterdir() if each.stem == path.stem)
        picture = Image.open(photo).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
        mask = Image.open(path).convert("L").resize((size, size), Image.Resampling.NEAREST)
        pictures.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 127.5 - 1)
        foregrounds.append(torch.from_numpy(np.array(mask) > 0)[None].float())
    return torch.stack(pictures), torch.stack(foregrounds)


def train(
    unet: Any,
    vae: Any,
    scheduler: Any,
    text: Tensor,
    photos: Tensor,
    masks: Tensor,
    *,
    steps: int,
    learning_rate: float = 5e-6,
) -> list[float]:
    """Tune the U-Net to the photos' subject; the loss of every step.

    Args:
        unet, vae, scheduler: of a `diffusers` pipeline.
        text: float, 1×tokens×channels, the embedding of the prompt, such as "photo of a sks cat".
        photos: float, B×3×h×w, -1 to 1.
        masks: float, B×1×h×w.
    """
    optimiser = torch.optim.AdamW(unet.parameters(), lr=learning_rate)
    with torch.no_grad():
        latents = vae.encode(photos).latent_dist.sample() * vae.config.scaling_factor
    losses = []
    for _ in range(steps):
        noise = torch.randn_like(latents)
        times = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), device=latents.device)
        noisy = scheduler.add_noise(latents, noise, times)
        predicted = unet(noisy, times, encoder_hidden_states=text.expand(len(latents), -1, -1)).sample
        loss = masked_loss(predicted, noise, masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def main(arguments: Sequence[str] | None = None) -> None:
    """The program."""
    from diffusers import DDPMScheduler, StableDiffusionPipeline

    parser = argparse.ArgumentParser(description="DreamBooth with the backgrounds left out of the loss.")
    parser.add_argument("--model", required=True, help="a Stable Diffusion pipeline: a folder, or a name on the hub")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True, help="from persam-segment --dreambooth")
    parser.add_argument("--prompt", required=True, help='such as "photo of a sks cat"')
    parser.add_argument("--out", type=Path, required=True, help="where the tuned pipeline goes")
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args(arguments)

    pipeline = StableDiffusionPipeline.from_pretrained(options.model)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    photos, masks = (each.to(pipeline.device) for each in load_photos(options.photos, options.masks, 512))
    with torch.no_grad():
        text, _ = pipeline.encode_prompt(options.prompt, pipeline.device, 1, do_classifier_free_guidance=False)
    noise = DDPMScheduler.from_config(pipeline.scheduler.config)
    losses = train(pipeline.unet, pipeline.vae, noise, text, photos, masks, steps=options.steps)
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    pipeline.save_pretrained(options.out)


if __name__ == "__main__":
    main()

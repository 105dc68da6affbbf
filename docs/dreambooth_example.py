"""DreamBooth with the background masked out of the loss (dreambooth.md)."""

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


def load_images(image_dir: Path, mask_dir: Path, size: int) -> tuple[Tensor, Tensor]:
    """Training images, float, B×3×size×size, -1 to 1, and their masks, float, B×1×size×size, 1 = subject."""
    images, masks = [], []
    for mask_path in sorted(mask_dir.glob("*.png")):
        image_path = next(path for path in image_dir.iterdir() if path.stem == mask_path.stem)
        image = Image.open(image_path).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
        mask = Image.open(mask_path).convert("L").resize((size, size), Image.Resampling.NEAREST)
        images.append(torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1)
        masks.append(torch.from_numpy(np.array(mask) > 0)[None].float())
    return torch.stack(images), torch.stack(masks)


def train(
    unet: Any,
    vae: Any,
    scheduler: Any,
    prompt_embeds: Tensor,
    images: Tensor,
    masks: Tensor,
    *,
    steps: int,
    learning_rate: float = 5e-6,
) -> list[float]:
    """Fine-tune the U-Net on the subject of the images. Returns the loss of every step.

    Args:
        unet, vae, scheduler: of a `diffusers` pipeline.
        prompt_embeds: float, 1×tokens×channels: embedding of a prompt such as "photo of a sks cat".
        images: float, B×3×h×w, -1 to 1.
        masks: float, B×1×h×w, 1 = subject.
    """
    optimiser = torch.optim.AdamW(unet.parameters(), lr=learning_rate)
    with torch.no_grad():
        latents = vae.encode(images).latent_dist.sample() * vae.config.scaling_factor
    losses = []
    for _ in range(steps):
        noise = torch.randn_like(latents)
        timesteps = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), device=latents.device)
        noisy = scheduler.add_noise(latents, noise, timesteps)
        predicted = unet(noisy, timesteps, encoder_hidden_states=prompt_embeds.expand(len(latents), -1, -1)).sample
        loss = masked_loss(predicted, noise, masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def main(arguments: Sequence[str] | None = None) -> None:
    """The program."""
    from diffusers import DDPMScheduler, StableDiffusionPipeline

    parser = argparse.ArgumentParser(description="DreamBooth with the background masked out of the loss.")
    parser.add_argument("--model", required=True, help="Stable Diffusion pipeline: a folder, or a name on the hub")
    parser.add_argument("--images", type=Path, required=True, help="folder of the subject's images")
    parser.add_argument("--masks", type=Path, required=True, help="folder of their masks (persam-segment --dreambooth)")
    parser.add_argument("--prompt", required=True, help='such as "photo of a sks cat"')
    parser.add_argument("--out", type=Path, required=True, help="folder for the fine-tuned pipeline")
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args(arguments)

    pipeline = StableDiffusionPipeline.from_pretrained(options.model)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    images, masks = (each.to(pipeline.device) for each in load_images(options.images, options.masks, 512))
    with torch.no_grad():
        prompt_embeds, _ = pipeline.encode_prompt(options.prompt, pipeline.device, 1, do_classifier_free_guidance=False)
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    losses = train(pipeline.unet, pipeline.vae, scheduler, prompt_embeds, images, masks, steps=options.steps)
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    pipeline.save_pretrained(options.out)


if __name__ == "__main__":
    main()

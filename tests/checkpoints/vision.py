"""Encoders that transformers has no usable Flax class for: a function for each family."""

from pathlib import Path
from typing import Any

import numpy as np
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    SiglipImageProcessor,
    SiglipVisionConfig,
)

from tests.checkpoints.options import EncoderOptions, takes
from tests.checkpoints.variants import write_encoder
from ved.localhub.samples.checkpoint import SampleCheckpoint
from ved.localhub.samples.weights import RandomTensors, Tensors, under

SMALL = {"image_size": 16, "patch_size": 8}


@takes(EncoderOptions)
def clip_vision(directory: Path, options: EncoderOptions) -> None:
    """Write a CLIPVisionModelWithProjection, with the buffer that old transformers saved.

    Without a prefix it has the names of the modules of transformers 5.
    """
    sample = options.of_sample
    config = sample.build_config(
        CLIPVisionConfig, intermediate_size=4 * options.hidden_size, **SMALL
    )
    width, random = config.hidden_size, RandomTensors(options.seed)
    states = 1 + _patches(config)
    embeddings = {
        "class_embedding": random.small(width),
        "position_ids": np.arange(states)[None],
        "patch_embedding.weight": _kernel(random, config),
        **random.embedding("position_embedding", states, width),
    }
    base = {
        **under("embeddings", embeddings),
        **random.norm("pre_layrnorm", width),
        **_dual_layers(random, config),
        **random.norm("post_layernorm", width),
    }
    checkpoint = SampleCheckpoint(
        options=sample,
        config=config,
        base=base,
        base_architecture="CLIPVisionModel",
        heads=random.linear("visual_projection", width, config.projection_dim, bias=False),
        head_architecture="CLIPVisionModelWithProjection",
        prefix="vision_model",
        has_heads=True,
        license="mit",
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": config.image_size}, crop_size=_square(config.image_size)
        ),
    )
    write_encoder(directory, checkpoint, options)


@takes(EncoderOptions)
def siglip_vision(directory: Path, options: EncoderOptions) -> None:
    """Write a SiglipVisionModel, whose head reads one state for the whole image."""
    sample = options.of_sample
    config = sample.build_config(
        SiglipVisionConfig, intermediate_size=4 * options.hidden_size, **SMALL
    )
    width, random = config.hidden_size, RandomTensors(options.seed)
    embeddings = {
        "patch_embedding.weight": _kernel(random, config),
        "patch_embedding.bias": random.small(width),
        **random.embedding("position_embedding", _patches(config), width),
    }
    base = {
        **under("embeddings", embeddings),
        **_dual_layers(random, config),
        **random.norm("post_layernorm", width),
    }
    if getattr(config, "vision_use_head", True):
        base |= under("head", _siglip_head(random, config))
    checkpoint = SampleCheckpoint(
        options=sample,
        config=config,
        base=base,
        base_architecture="SiglipVisionModel",
        heads={},
        head_architecture="SiglipVisionModel",
        prefix="vision_model",
        has_heads=True,
        license="apache-2.0",
        image_processor=SiglipImageProcessor(size=_square(config.image_size)),
    )
    write_encoder(directory, checkpoint, options)


def _square(size: int) -> dict[str, int]:
    return {"height": size, "width": size}


def _patches(config: Any) -> int:
    return int((config.image_size // config.patch_size) ** 2)


def _kernel(random: RandomTensors, config: Any) -> Any:
    """Return the kernel of patches: float32 (width, channels, side, side)."""
    side = config.patch_size
    return random.small(config.hidden_size, config.num_channels, side, side)


def _dual_layers(random: RandomTensors, config: Any) -> Tensors:
    """Return the layers of CLIP and SigLIP."""
    width = config.hidden_size
    layers: Tensors = {}
    for number in range(config.num_hidden_layers):
        layers |= under(
            f"encoder.layers.{number}",
            *(random.linear(f"self_attn.{each}_proj", width, width) for each in "kvq"),
            random.linear("self_attn.out_proj", width, width),
            random.norm("layer_norm1", width),
            _feed_forward(random, config),
            random.norm("layer_norm2", width),
        )
    return layers


def _feed_forward(random: RandomTensors, config: Any) -> Tensors:
    width, inner = config.hidden_size, config.intermediate_size
    return random.linear("mlp.fc1", width, inner) | random.linear("mlp.fc2", inner, width)


def _siglip_head(random: RandomTensors, config: Any) -> Tensors:
    width = config.hidden_size
    return {
        "probe": random.small(1, 1, width),
        "attention.in_proj_weight": random.small(3 * width, width),
        "attention.in_proj_bias": random.small(3 * width),
        **random.linear("attention.out_proj", width, width),
        **random.norm("layernorm", width),
        **_feed_forward(random, config),
    }

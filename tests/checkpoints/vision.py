"""Encoders that transformers has no usable Flax class for: a function for each family."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.checkpoints.formats import CONFIGS, IMAGE_PROCESSORS
from tests.checkpoints.options import EncoderOptions, takes
from tests.checkpoints.variants import write_encoder
from tests.support.building import edit_json
from ved.localhub import samples
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
        CONFIGS["CLIPVision"], intermediate_size=4 * options.hidden_size, **SMALL
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
        image_processor={
            **IMAGE_PROCESSORS["CLIPImageProcessor"],
            "size": {"shortest_edge": config.image_size},
            "crop_size": _square(config.image_size),
        },
    )
    write_encoder(directory, checkpoint, options)


@takes(EncoderOptions)
def siglip_vision(directory: Path, options: EncoderOptions) -> None:
    """Write a SiglipVisionModel, whose head reads one state for the whole image."""
    sample = options.of_sample
    config = sample.build_config(
        CONFIGS["SiglipVision"], intermediate_size=4 * options.hidden_size, **SMALL
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
        image_processor={
            **IMAGE_PROCESSORS["SiglipImageProcessor"],
            "size": _square(config.image_size),
        },
    )
    write_encoder(directory, checkpoint, options)


@takes(EncoderOptions)
def deit(directory: Path, options: EncoderOptions) -> None:
    """Write a DeiT like facebook/deit-base-distilled-patch16-224: with two heads."""
    sample = samples.vit(replace(options.of_sample, seed=_other(options.seed)))
    config = options.of_sample.build_config(
        CONFIGS["DeiT"], intermediate_size=4 * options.hidden_size, **SMALL
    )
    width, random = config.hidden_size, RandomTensors(_other(options.seed) + 1)
    base = {
        **sample.base,
        "embeddings.distillation_token": random.small(1, 1, width),
        "embeddings.position_embeddings": random.small(1, 2 + _patches(config), width),
    }
    heads = {
        name: tensor
        for head in ("cls_classifier", "distillation_classifier")
        for name, tensor in random.linear(head, width, config.num_labels).items()
    }
    size = config.image_size
    checkpoint = replace(
        sample,
        config=config,
        base=base,
        base_architecture="DeiTModel",
        heads=heads,
        head_architecture="DeiTForImageClassificationWithTeacher",
        prefix="deit",
        image_processor={
            **IMAGE_PROCESSORS["DeiTImageProcessor"],
            "size": _square(size * 8 // 7),
            "crop_size": _square(size),
        },
    )
    write_encoder(directory, checkpoint, options)


@takes(EncoderOptions)
def ijepa(directory: Path, options: EncoderOptions) -> None:
    """Write an I-JEPA like facebook/ijepa_vith14_1k: without a class token and a pooler."""
    sample = samples.vit(options.of_sample)
    config = options.of_sample.build_config(
        CONFIGS["IJepa"], intermediate_size=4 * options.hidden_size, **SMALL
    )
    random = RandomTensors(_other(options.seed))
    left_out = ("embeddings.cls_token", "pooler.")
    base = {name: each for name, each in sample.base.items() if not name.startswith(left_out)}
    base["embeddings.position_embeddings"] = random.small(1, _patches(config), config.hidden_size)
    checkpoint = replace(
        sample,
        config=config,
        base=base,
        base_architecture="IJepaModel",
        head_architecture="IJepaForImageClassification",
        prefix="ijepa",
    )
    write_encoder(directory, checkpoint, options)


@takes(EncoderOptions)
def dinov2_with_registers(directory: Path, options: EncoderOptions) -> None:
    """Write a DINOv2 like facebook/dinov2-with-registers-base, but with one register.

    Its states are as many as those of the DeiT, so the tests compile a decoder once for both.
    """
    sample = samples.dinov2(replace(options.of_sample, seed=_other(options.seed, 2)))
    config = options.of_sample.build_config(
        CONFIGS["Dinov2WithRegisters"], image_size=32, patch_size=8, num_register_tokens=1
    )
    random = RandomTensors(_other(options.seed, 2) + 1)
    registers = random.small(1, config.num_register_tokens, config.hidden_size)
    checkpoint = replace(
        sample,
        config=config,
        base={**sample.base, "embeddings.register_tokens": registers},
        base_architecture="Dinov2WithRegistersModel",
        head_architecture="Dinov2WithRegistersForImageClassification",
        prefix="dinov2_with_registers",
    )
    write_encoder(directory, checkpoint, options)


@takes(EncoderOptions)
def dinov3(directory: Path, options: EncoderOptions) -> None:
    """Write a DINOv3 like facebook/dinov3-vits16-pretrain-lvd1689m.

    The class of its image processor needs torch, so the file is that of another one with its name.
    """
    sample = options.of_sample
    config = sample.build_config(
        CONFIGS["DINOv3ViT"],
        intermediate_size=4 * options.hidden_size,
        **{"num_register_tokens": 1, **SMALL},
    )
    width, random = config.hidden_size, RandomTensors(_other(options.seed))
    base = {
        "embeddings.cls_token": random.small(1, 1, width),
        "embeddings.mask_token": random.small(1, 1, width),
        "embeddings.register_tokens": random.small(1, config.num_register_tokens, width),
        "embeddings.patch_embeddings.weight": _kernel(random, config),
        "embeddings.patch_embeddings.bias": random.small(width),
        **_dinov3_layers(random, config),
        **random.norm("norm", width),
    }
    checkpoint = SampleCheckpoint(
        options=sample,
        config=config,
        base=base,
        base_architecture="DINOv3ViTModel",
        heads={},
        head_architecture="DINOv3ViTModel",
        prefix="dinov3_vit",
        has_heads=False,
        license="apache-2.0",
        image_processor={
            **IMAGE_PROCESSORS["BitImageProcessor"],
            "do_center_crop": False,
            "size": _square(config.image_size),
            "resample": 2,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    )
    write_encoder(directory, checkpoint, options)
    edit_json(
        directory / "preprocessor_config.json", image_processor_type="DINOv3ViTImageProcessorFast"
    )


def _other(seed: int, step: int = 1) -> int:
    """Return a seed with which two images of noise give two texts; with most they give one."""
    return seed + step


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


def _dinov3_layers(random: RandomTensors, config: Any) -> Tensors:
    width, inner = config.hidden_size, config.intermediate_size
    biases = {"q": config.query_bias, "k": config.key_bias, "v": config.value_bias}
    layers: Tensors = {}
    for number in range(config.num_hidden_layers):
        gate = random.linear("mlp.gate_proj", width, inner, bias=config.mlp_bias)
        layers |= under(
            f"layer.{number}",
            *(
                random.linear(f"attention.{name}_proj", width, width, bias=bias)
                for name, bias in biases.items()
            ),
            random.linear("attention.o_proj", width, width, bias=config.proj_bias),
            random.linear("mlp.up_proj", width, inner, bias=config.mlp_bias),
            gate if config.use_gated_mlp else {},
            random.linear("mlp.down_proj", inner, width, bias=config.mlp_bias),
            *(random.norm(f"norm{each}", width) for each in (1, 2)),
            {f"layer_scale{each}.lambda1": random.near_one(width) for each in (1, 2)},
        )
    return layers

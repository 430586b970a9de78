"""Encoders that attend in windows: a function for each family, which writes a checkpoint of it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.checkpoints.formats import CONFIGS, IMAGE_PROCESSORS
from tests.checkpoints.options import EncoderOptions, takes
from tests.checkpoints.variants import write_encoder
from ved.localhub.samples.checkpoint import SampleCheckpoint
from ved.localhub.samples.weights import RandomTensors, Tensors, under

# The map has 8 x 8 patches, and 4 x 4 in the last stage. A layer of the first stage is shifted.
_DEPTHS = [2, 1]
_WINDOW = 4
_PATCH = 2


@takes(EncoderOptions)
def swin(directory: Path, options: EncoderOptions) -> None:
    """Write a Swin like microsoft/swin-tiny-patch4-window7-224: with a classifier and buffers."""
    config = _config(CONFIGS["Swin"], options, image_size=16)
    # With most other seeds, two images of noise give one text: the states differ too little.
    base = _base(options.seed + 5, config, _swin_extras) | _norm(options, config)
    image_processor = {**IMAGE_PROCESSORS["ViTImageProcessor"], "size": {"height": 16, "width": 16}}
    write_encoder(
        directory, _sample(options, config, base, "Swin", "swin", image_processor), options
    )


@takes(EncoderOptions)
def swinv2(directory: Path, options: EncoderOptions) -> None:
    """Write a Swin v2 like microsoft/swinv2-tiny-patch4-window8-256, with a classifier.

    It has the buffers that transformers saved until 2023.
    """
    config = _config(CONFIGS["Swinv2"], options, image_size=16)
    base = _base(options.seed, config, _swinv2_extras) | _norm(options, config)
    image_processor = {**IMAGE_PROCESSORS["ViTImageProcessor"], "size": {"height": 16, "width": 16}}
    write_encoder(
        directory, _sample(options, config, base, "Swinv2", "swinv2", image_processor), options
    )


@takes(EncoderOptions)
def donut_swin(directory: Path, options: EncoderOptions) -> None:
    """Write the encoder of a Donut, for images that are not square."""
    config = _config(CONFIGS["DonutSwin"], options, image_size=[24, 16])
    base = _base(options.seed, config, _swin_extras)
    image_processor = {
        **IMAGE_PROCESSORS["DonutImageProcessor"],
        "size": {"height": 24, "width": 16},
    }
    write_encoder(
        directory, _sample(options, config, base, "DonutSwin", "donut", image_processor), options
    )


def _config(config_class: Any, options: EncoderOptions, image_size: Any) -> Any:
    depths = options.config.get("depths", _DEPTHS)
    config = options.of_sample.build_config(
        config_class,
        image_size=image_size,
        patch_size=_PATCH,
        embed_dim=options.hidden_size // 2 ** (len(depths) - 1),
        depths=depths,
        num_heads=[2] * len(depths),
        window_size=_WINDOW,
    )
    config.settings["path_norm"] = True  # in the configs of real checkpoints
    return config


def _sample(
    options: EncoderOptions,
    config: Any,
    base: Tensors,
    name: str,
    prefix: str,
    image_processor: Any,
) -> SampleCheckpoint:
    random = RandomTensors(options.seed + 1)
    return SampleCheckpoint(
        options=options.of_sample,
        config=config,
        base=base,
        base_architecture=f"{name}Model",
        heads=random.linear("classifier", config.hidden_size, config.num_labels),
        head_architecture=f"{name}ForImageClassification",
        prefix=prefix,
        has_heads=prefix != "donut",
        license="mit" if prefix == "donut" else "apache-2.0",
        image_processor=image_processor,
    )


def _base(seed: int, config: Any, extras: Any) -> Tensors:
    """Return the embeddings and the stages; `extras` returns what a family's attention has."""
    random, width = RandomTensors(seed), config.embed_dim
    projection = {
        "weight": random.small(width, config.num_channels, config.patch_size, config.patch_size),
        "bias": random.small(width),
    }
    tensors = under(
        "embeddings",
        under("patch_embeddings.projection", projection),
        random.norm("norm", width),
    )
    is_v2 = config.model_type == "swinv2"
    for stage, depth in enumerate(config.depths):
        width = config.embed_dim * 2**stage
        for number in range(depth):
            tensors |= under(
                f"encoder.layers.{stage}.blocks.{number}",
                random.norm("layernorm_before", width),
                under("attention.self", extras(random, config, stage)),
                random.linear("attention.self.query", width, width),
                random.linear("attention.self.key", width, width, bias=not is_v2),
                random.linear("attention.self.value", width, width),
                random.linear("attention.output.dense", width, width),
                random.norm("layernorm_after", width),
                random.linear("intermediate.dense", width, int(config.mlp_ratio * width)),
                random.linear("output.dense", int(config.mlp_ratio * width), width),
            )
        if stage < len(config.depths) - 1:
            tensors |= under(
                f"encoder.layers.{stage}.downsample",
                random.linear("reduction", 4 * width, 2 * width, bias=False),
                random.norm("norm", (2 if is_v2 else 4) * width),
            )
    return tensors


def _norm(options: EncoderOptions, config: Any) -> Tensors:
    return RandomTensors(options.seed + 2).norm("layernorm", config.hidden_size)


def _swin_extras(random: RandomTensors, config: Any, stage: int) -> Tensors:
    """Return the table of relative positions, and the index that transformers 4 saves."""
    window = config.window_size
    return {
        "relative_position_bias_table": random.small(
            (2 * window - 1) ** 2, config.num_heads[stage]
        ),
        "relative_position_index": relative_position_index(window),
    }


def _swinv2_extras(random: RandomTensors, config: Any, stage: int) -> Tensors:
    """Return scales, the network of relative positions, and old buffers.

    Some scales are above the largest one, log(100).
    """
    heads = config.num_heads[stage]
    window = min(config.image_size // config.patch_size // 2**stage, config.window_size)
    steps = np.linspace(-8, 8, 2 * window - 1, dtype=np.float32)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)[None]
    return {
        "logit_scale": 4 * random.near_one(heads, 1, 1),
        "relative_coords_table": np.sign(grid) * np.log2(np.abs(grid) + 1) / np.float32(3),
        "relative_position_index": relative_position_index(window),
        **random.linear("continuous_position_bias_mlp.0", 2, 512),
        **random.linear("continuous_position_bias_mlp.2", 512, heads, bias=False),
    }


def relative_position_index(window: int) -> NDArray[Any]:
    """Return the row in the table for each pair of states: int64 (window ** 2, window ** 2).

    Source: SwinSelfAttention in transformers.
    """
    rows, columns = np.divmod(np.arange(window * window), window)
    down = rows[:, None] - rows + window - 1
    right = columns[:, None] - columns + window - 1
    index: NDArray[Any] = (2 * window - 1) * down + right
    return index

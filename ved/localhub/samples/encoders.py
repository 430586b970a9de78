"""Samples of vision encoders, with the names, heads and buffers of real checkpoints.

Image and patch sizes are pixels per side. Patches have 8, so an image of 16 has 4 patches.
"""

from typing import Any

import numpy as np

from ved.localhub.samples.checkpoint import DEFAULT_OPTIONS, SampleCheckpoint, SampleOptions
from ved.localhub.samples.formats import FORMATS
from ved.localhub.samples.weights import RandomTensors, Tensors, under

PROCESSORS = FORMATS.image_processors
_CHANNELS = 3
_IMAGENET_MEAN = [0.485, 0.456, 0.406]
_IMAGENET_STD = [0.229, 0.224, 0.225]


def vit(options: SampleOptions = DEFAULT_OPTIONS) -> SampleCheckpoint:
    """Build a ViT like google/vit-base-patch16-224-in21k: with a pooler and without a head."""
    config = options.build_config(
        FORMATS.configs["ViT"],
        intermediate_size=4 * options.hidden_size,
        image_size=16,
        patch_size=8,
    )
    width, random = config.hidden_size, RandomTensors(options.seed)
    base = {
        **under("embeddings", _patches(random, config), _positions(random, config)),
        **_vit_layers(random, config),
        **random.norm("layernorm", width),
        **random.linear("pooler.dense", width, width),
    }
    return SampleCheckpoint(
        options=options,
        config=config,
        base=base,
        base_architecture="ViTModel",
        heads=random.linear("classifier", width, config.num_labels),
        head_architecture="ViTForImageClassification",
        prefix="vit",
        has_heads=False,
        license="apache-2.0",
        image_processor={**PROCESSORS["ViTImageProcessor"], "size": _square(config.image_size)},
    )


def beit(options: SampleOptions = DEFAULT_OPTIONS) -> SampleCheckpoint:
    """Build a BEiT like microsoft/beit-base-patch16-224-pt22k-ft22k: with a classifier.

    Every layer has a table of relative position biases, and the buffer of indices into the table
    that old releases of transformers saved.
    """
    config = options.build_config(
        FORMATS.configs["Beit"],
        intermediate_size=4 * options.hidden_size,
        image_size=16,
        patch_size=8,
        use_relative_position_bias=True,
    )
    width, random = config.hidden_size, RandomTensors(options.seed)
    base = {
        **under("embeddings", _patches(random, config)),
        **_vit_layers(random, config),
        **random.norm("pooler.layernorm", width),
    }
    return SampleCheckpoint(
        options=options,
        config=config,
        base=base,
        base_architecture="BeitModel",
        heads=random.linear("classifier", width, config.num_labels),
        head_architecture="BeitForImageClassification",
        prefix="beit",
        has_heads=True,
        license="apache-2.0",
        image_processor={
            **PROCESSORS["BeitImageProcessor"],
            "size": _square(config.image_size),
            "do_center_crop": False,
        },
    )


def dinov2(options: SampleOptions = DEFAULT_OPTIONS) -> SampleCheckpoint:
    """Build a DINOv2 like facebook/dinov2-base: with a mask token and layer scales.

    The image processor makes images of half the size in config.json (there: 224 and 518), so the
    model interpolates its position embeddings.
    """
    config = options.build_config(FORMATS.configs["Dinov2"], image_size=32, patch_size=8)
    width = config.hidden_size
    random = RandomTensors(options.seed, config.initializer_range)
    mask_token = {"mask_token": random.small(1, width)}
    base = {
        **under("embeddings", _patches(random, config), mask_token, _positions(random, config)),
        **_dinov2_layers(random, config),
        **random.norm("layernorm", width),
    }
    size = config.image_size // 2
    return SampleCheckpoint(
        options=options,
        config=config,
        base=base,
        base_architecture="Dinov2Model",
        heads=random.linear("classifier", 2 * width, config.num_labels),
        head_architecture="Dinov2ForImageClassification",
        prefix="dinov2",
        has_heads=False,
        license="apache-2.0",
        image_processor={
            **PROCESSORS["BitImageProcessor"],
            "size": {"shortest_edge": size * 8 // 7},
            "crop_size": _square(size),
            "image_mean": _IMAGENET_MEAN,
            "image_std": _IMAGENET_STD,
        },
    )


def _square(size: int) -> dict[str, int]:
    return {"height": size, "width": size}


def _patches(random: RandomTensors, config: Any) -> Tensors:
    """Return the class token (1, 1, width) and the projection (width, channels, side, side)."""
    width, side = config.hidden_size, config.patch_size
    projection = {
        "weight": random.small(width, _CHANNELS, side, side),
        "bias": random.small(width),
    }
    return {
        "cls_token": random.small(1, 1, width),
        **under("patch_embeddings.projection", projection),
    }


def _positions(random: RandomTensors, config: Any) -> Tensors:
    """Return position embeddings (1, patches + 1, width)."""
    patches = (config.image_size // config.patch_size) ** 2
    return {"position_embeddings": random.small(1, patches + 1, config.hidden_size)}


def _vit_layers(random: RandomTensors, config: Any) -> Tensors:
    """Return the layers of a ViT, or of a BEiT if the config is one."""
    width, inner = config.hidden_size, config.intermediate_size
    is_beit = config.model_type == "beit"
    layers: Tensors = {}
    for number in range(config.num_hidden_layers):
        layers |= under(
            f"encoder.layer.{number}",
            _attention(random, width, key_bias=not is_beit),
            _beit_extras(random, config) if is_beit else {},
            random.linear("intermediate.dense", width, inner),
            random.linear("output.dense", inner, width),
            random.norm("layernorm_before", width),
            random.norm("layernorm_after", width),
        )
    return layers


def _dinov2_layers(random: RandomTensors, config: Any) -> Tensors:
    width, inner = config.hidden_size, config.hidden_size * config.mlp_ratio
    layers: Tensors = {}
    for number in range(config.num_hidden_layers):
        layers |= under(
            f"encoder.layer.{number}",
            random.norm("norm1", width),
            _attention(random, width),
            {"layer_scale1.lambda1": random.near_one(width)},
            random.norm("norm2", width),
            random.linear("mlp.fc1", width, inner),
            random.linear("mlp.fc2", inner, width),
            {"layer_scale2.lambda1": random.near_one(width)},
        )
    return layers


def _attention(random: RandomTensors, width: int, *, key_bias: bool = True) -> Tensors:
    return under(
        "attention",
        random.linear("attention.query", width, width),
        random.linear("attention.key", width, width, bias=key_bias),
        random.linear("attention.value", width, width),
        random.linear("output.dense", width, width),
    )


def _beit_extras(random: RandomTensors, config: Any) -> Tensors:
    side = config.image_size // config.patch_size
    index = relative_position_index(side)
    biases: Tensors = {
        "relative_position_bias_table": random.small(index.max() + 1, config.num_attention_heads),
        "relative_position_index": index,
    }
    return {
        "lambda_1": random.near_one(config.hidden_size),
        "lambda_2": random.near_one(config.hidden_size),
        **under("attention.attention.relative_position_bias", biases),
    }


def relative_position_index(side: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return the row in BEiT's table of relative position biases for each pair of tokens.

    The first token is the class token. The last three rows of the table are: from the class token
    to a patch, from a patch to the class token, and from the class token to itself. Source:
    BeitRelativePositionBias in transformers.

    Args:
        side: number of patches per side.

    Returns:
        int64 (tokens, tokens), where tokens is side * side + 1.
    """
    rows, columns = np.divmod(np.arange(side * side), side)
    reach = 2 * side - 1
    row_distances = rows[:, None] - rows + side - 1
    column_distances = columns[:, None] - columns + side - 1
    tokens = side * side + 1
    index = np.empty((tokens, tokens), np.int64)
    index[1:, 1:] = row_distances * reach + column_distances
    index[0, :], index[:, 0] = reach * reach, reach * reach + 1
    index[0, 0] = reach * reach + 2
    return index

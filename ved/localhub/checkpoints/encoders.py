"""Vision encoders, each with the names, heads and buffers of the repository it is modelled on.

Image sizes are in pixels on a side; patches are 8 wide, so a 16-pixel image has 4 of them.
"""

from pathlib import Path
from typing import Any

import numpy as np
from transformers import (
    BeitConfig,
    BeitImageProcessor,
    BitImageProcessor,
    Dinov2Config,
    ViTConfig,
    ViTImageProcessor,
)

from ved.localhub.checkpoints.options import EncoderOptions, asked_by
from ved.localhub.checkpoints.repository import write_model
from ved.localhub.checkpoints.weights import Draw, Tensors, under

_CHANNELS = 3
_IMAGENET_MEAN = [0.485, 0.456, 0.406]
_IMAGENET_STD = [0.229, 0.224, 0.225]


@asked_by(EncoderOptions)
def vit(directory: Path, options: EncoderOptions) -> None:
    """Write a ViT as google/vit-base-patch16-224-in21k has it: no prefix, a pooler, no head.

    With a prefix, as google/vit-base-patch16-224 has it: a head, and no pooler.
    """
    prefixed = options.prefixed(by_default=False)
    config = options.configure(
        ViTConfig,
        intermediate_size=4 * options.hidden_size,
        image_size=16,
        patch_size=8,
        architectures=["ViTForImageClassification" if prefixed else "ViTModel"],
    )
    width, draw = config.hidden_size, Draw(options.seed)
    base = {
        **under("embeddings", _patches(draw, config), _positions(draw, config)),
        **_vit_layers(draw, config),
        **draw.norm("layernorm", width),
    }
    pooler = draw.linear("pooler.dense", width, width)
    head = draw.linear("classifier", width, config.num_labels)
    tensors = under("vit", base) | head if prefixed else base | pooler
    write_model(directory, options, config, tensors, license="apache-2.0")
    size = options.processor_size or config.image_size
    ViTImageProcessor(size={"height": size, "width": size}).save_pretrained(directory)


@asked_by(EncoderOptions)
def beit(directory: Path, options: EncoderOptions) -> None:
    """Write a BEiT as microsoft/beit-base-patch16-224-pt22k-ft22k has it.

    With prefix, classifier and, in every layer, a table of relative position biases and the
    buffer of indices into it that old releases of transformers saved.
    """
    prefixed = options.prefixed(by_default=True)
    config = options.configure(
        BeitConfig,
        intermediate_size=4 * options.hidden_size,
        image_size=16,
        patch_size=8,
        use_relative_position_bias=True,
        architectures=["BeitForImageClassification" if prefixed else "BeitModel"],
    )
    width, draw = config.hidden_size, Draw(options.seed)
    base = {
        **under("embeddings", _patches(draw, config)),
        **_vit_layers(draw, config),
        **draw.norm("pooler.layernorm", width),
    }
    head = draw.linear("classifier", width, config.num_labels)
    tensors = under("beit", base) | head if prefixed else base
    write_model(directory, options, config, tensors, license="apache-2.0")
    size = options.processor_size or config.image_size
    BeitImageProcessor(size={"height": size, "width": size}, do_center_crop=False).save_pretrained(
        directory
    )


@asked_by(EncoderOptions)
def dinov2(directory: Path, options: EncoderOptions) -> None:
    """Write a DINOv2 as facebook/dinov2-base has it.

    No prefix, a mask token, layer scales; and images half the size that config.json speaks of
    (there 224 and 518): the model interpolates its position embeddings.
    """
    prefixed = options.prefixed(by_default=False)
    config = options.configure(
        Dinov2Config,
        image_size=32,
        patch_size=8,
        architectures=["Dinov2ForImageClassification" if prefixed else "Dinov2Model"],
    )
    width, draw = config.hidden_size, Draw(options.seed)
    mask_token = {"mask_token": draw.small(1, width)}
    base = {
        **under("embeddings", _patches(draw, config), mask_token, _positions(draw, config)),
        **_dinov2_layers(draw, config),
        **draw.norm("layernorm", width),
    }
    head = draw.linear("classifier", 2 * width, config.num_labels)
    tensors = under("dinov2", base) | head if prefixed else base
    write_model(directory, options, config, tensors, license="apache-2.0")
    size = options.processor_size or config.image_size // 2
    BitImageProcessor(
        size={"shortest_edge": size * 8 // 7},
        crop_size={"height": size, "width": size},
        image_mean=_IMAGENET_MEAN,
        image_std=_IMAGENET_STD,
    ).save_pretrained(directory)


def _patches(draw: Draw, config: Any) -> Tensors:
    width, side = config.hidden_size, config.patch_size
    projection = {
        "weight": draw.small(width, _CHANNELS, side, side),
        "bias": draw.small(width),
    }
    return {
        "cls_token": draw.small(1, 1, width),
        **under("patch_embeddings.projection", projection),
    }


def _positions(draw: Draw, config: Any) -> Tensors:
    patches = (config.image_size // config.patch_size) ** 2
    return {"position_embeddings": draw.small(1, patches + 1, config.hidden_size)}


def _vit_layers(draw: Draw, config: Any) -> Tensors:
    """Return the layers of ViT or, where the config has relative positions, of BEiT."""
    width, inner = config.hidden_size, config.intermediate_size
    is_beit = config.model_type == "beit"
    layers: Tensors = {}
    for number in range(config.num_hidden_layers):
        layers |= under(
            f"encoder.layer.{number}",
            _attention(draw, width, key_bias=not is_beit),
            _beit_extras(draw, config) if is_beit else {},
            draw.linear("intermediate.dense", width, inner),
            draw.linear("output.dense", inner, width),
            draw.norm("layernorm_before", width),
            draw.norm("layernorm_after", width),
        )
    return layers


def _dinov2_layers(draw: Draw, config: Any) -> Tensors:
    width, inner = config.hidden_size, config.hidden_size * config.mlp_ratio
    layers: Tensors = {}
    for number in range(config.num_hidden_layers):
        layers |= under(
            f"encoder.layer.{number}",
            draw.norm("norm1", width),
            _attention(draw, width),
            {"layer_scale1.lambda1": draw.near_one(width)},
            draw.norm("norm2", width),
            draw.linear("mlp.fc1", width, inner),
            draw.linear("mlp.fc2", inner, width),
            {"layer_scale2.lambda1": draw.near_one(width)},
        )
    return layers


def _attention(draw: Draw, width: int, *, key_bias: bool = True) -> Tensors:
    return under(
        "attention",
        draw.linear("attention.query", width, width),
        draw.linear("attention.key", width, width, bias=key_bias),
        draw.linear("attention.value", width, width),
        draw.linear("output.dense", width, width),
    )


def _beit_extras(draw: Draw, config: Any) -> Tensors:
    side = config.image_size // config.patch_size
    index = relative_position_index(side)
    biases: Tensors = {
        "relative_position_bias_table": draw.small(index.max() + 1, config.num_attention_heads),
        "relative_position_index": index,
    }
    return {
        "lambda_1": draw.near_one(config.hidden_size),
        "lambda_2": draw.near_one(config.hidden_size),
        **under("attention.attention.relative_position_bias", biases),
    }


def relative_position_index(side: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return which row of BEiT's table belongs to each pair of tokens, on a square of patches.

    The first token is the class token; the table's last three rows are from it to a patch, from
    a patch to it, and from it to itself.
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

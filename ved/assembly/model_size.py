"""Compare the size of a model with its weights, before the model is traced.

Tracing takes time for each layer, and builds tables that grow with the number of patches. A config
may ask for any of them.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from ved import limits
from ved.assembly.config import PartConfig
from ved.errors import ErrorCode, VedError
from ved.families.family import Family
from ved.sources.source import ResolvedSource
from ved.tensors.files import StoredWeight


def check_model_size(
    config: PartConfig, source: ResolvedSource, weights: Sequence[StoredWeight]
) -> None:
    """Refuse a model that is much larger than its weights, or too large for a trace.

    `ved.sources.config_sizes` has checked each size that the config names. This adds what follows
    from several of them, defaults of the class included.

    Args:
        config: the config of the part.
        source: the source, for its family and for the error.
        weights: the tensors of the source.

    Raises:
        VedError: the config and the weights cannot belong together.
    """
    try:
        problem = _problem(config, source.family, weights)
    except (LookupError, TypeError, ArithmeticError) as error:
        problem = f"its sizes are not numbers ({error})"
    if problem:
        raise VedError(
            f"The config of {source.config_snapshot} does not describe the weights of {source}: "
            f"{problem}.",
            "Use the config that belongs to the weights.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        )


def _problem(config: PartConfig, family: Family, weights: Sequence[StoredWeight]) -> str:
    """Return what does not fit, as the end of a sentence; empty if nothing."""
    if _length(config, family.layers) != _length(config, family.heads):
        return f"{family.layers} and {family.heads} are for different numbers of stages"
    stages = _stages(config, family)
    for _, width, heads in stages:
        if width % heads:
            return f"its width {width} is not a multiple of the {heads} attention heads"
    layers = sum(depth for depth, _, _ in stages)
    if layers > limits.LAYERS:
        return f"it has {layers} layers instead of up to {limits.LAYERS}"
    sizes = [prod(weight.tensor.shape) for weight in weights]
    # Tensors without elements cost nothing, so a source can have any number of them.
    tensors = sum(size > 0 for size in sizes)
    if layers * limits.LAYER_TENSORS > tensors:
        return f"it has {layers} layers, but the weights are {tensors} tensors that have elements"
    parameters = _fewest_parameters(config, stages)
    if parameters > limits.MISFIT * sum(sizes):
        return f"it has {parameters} parameters or more, but the weights have {sum(sizes)} numbers"
    if "patch_size" in config:
        return _patches_problem(config, layers)
    return _positions_problem(config, family)


def _length(config: PartConfig, name: str) -> int:
    value = config[name]
    return len(value) if isinstance(value, list | tuple) else 1


def _stages(config: PartConfig, family: Family) -> list[tuple[int, int, int]]:
    """Return layers, width and attention heads of each stage. Most families have one stage."""
    layers, heads = config[family.layers], config[family.heads]
    if not isinstance(layers, list | tuple):
        return [(layers, config["hidden_size"], heads)]
    widths = [config["embed_dim"] * 2**stage for stage in range(len(layers))]
    return [*zip(layers, widths, heads, strict=True)]


def _fewest_parameters(config: PartConfig, stages: list[tuple[int, int, int]]) -> int:
    """Return a number of parameters that every supported model of these sizes exceeds."""
    _, first_width, _ = stages[0]
    # Query, key, value and output
    attention = sum(layers * 4 * width**2 for layers, width, _ in stages)
    embeddings = 0
    if "patch_size" in config:
        embeddings += config["num_channels"] * prod(height_and_width(config["patch_size"]))
    else:
        embeddings += config["vocab_size"] + config["max_position_embeddings"]
    return int(attention + embeddings * config.get("embedding_size", first_width))


def height_and_width(size: Any) -> tuple[int, int]:
    """Return a size that a config may give as one number."""
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(height), int(width)


def _patches_problem(config: PartConfig, layers: int) -> str:
    image, patch = height_and_width(config["image_size"]), height_and_width(config["patch_size"])
    patches = (image[0] // patch[0]) * (image[1] // patch[1])
    window = config.get("window_size", 0)
    most = limits.WINDOW_PATCHES if window else limits.PATCHES
    if not 0 < patches <= most:
        return f"its images have {patches} patches instead of 1 to {most}"
    if window and _are_too_large(window**4, 2 * layers):  # PyTorch stores an index in 8 bytes
        return f"its windows of {window} are too large for relative positions"
    indexes = layers if config.get("use_relative_position_bias", False) else 0
    indexes += bool(config.get("use_shared_relative_position_bias", False))
    if indexes and _are_too_large((patches + 1) ** 2, indexes):
        return f"its images have {patches} patches, too many for relative positions"
    return ""


def _are_too_large(numbers: int, indexes: int) -> bool:
    """Return whether indexes of so many numbers each are too large for a trace."""
    total = 4 * indexes * numbers
    return numbers > limits.TABLE_NUMBERS or total > limits.POSITION_INDEX_BYTES


def _positions_problem(config: PartConfig, family: Family) -> str:
    positions = config["max_position_embeddings"]
    # A decoder that has a buffer computes its positions: sinusoids.
    if family.buffers and positions * config["hidden_size"] > limits.TABLE_NUMBERS:
        return f"its {positions} positions are too many for a table of sinusoids"
    return ""

"""Compare the size of a model with its weights, before the model is traced.

Tracing takes time for each layer, and builds tables that grow with the number of patches. A config
may ask for any of them.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from ved import limits
from ved.errors import ErrorCode, VedError
from ved.families.family import Family
from ved.sources.source import ResolvedSource
from ved.tensors.files import StoredWeight


def check_model_size(config: Any, source: ResolvedSource, weights: Sequence[StoredWeight]) -> None:
    """Refuse a model that is much larger than its weights, or too large for a trace.

    `ved.sources.config_sizes` has checked each size that the config names. This adds what follows
    from several of them, defaults of the class included.

    Args:
        config: the transformers config of the part.
        source: the source, for its family and for the error.
        weights: the tensors of the source.

    Raises:
        VedError: the config and the weights cannot belong together.
    """
    try:
        problem = _problem(config, source.family, weights)
    except (AttributeError, TypeError, ArithmeticError) as error:
        problem = f"its sizes are not numbers ({error})"
    if problem:
        raise VedError(
            f"The config of {source.config_snapshot} does not describe the weights of {source}: "
            f"{problem}.",
            "Use the config that belongs to the weights.",
            code=ErrorCode.CONFIG_NOT_USABLE,
        )


def _problem(config: Any, family: Family, weights: Sequence[StoredWeight]) -> str:
    """Return what does not fit, as the end of a sentence; empty if nothing."""
    layers, heads = getattr(config, family.layers), getattr(config, family.heads)
    if config.hidden_size % heads:
        return f"its width {config.hidden_size} is not a multiple of the {heads} attention heads"
    sizes = [prod(weight.tensor.shape) for weight in weights]
    # Tensors without elements cost nothing, so a source can have any number of them.
    tensors = sum(size > 0 for size in sizes)
    if layers * limits.LAYER_TENSORS > tensors:
        return f"it has {layers} layers, but the weights are {tensors} tensors that have elements"
    parameters = _fewest_parameters(config, layers)
    if parameters > limits.MISFIT * sum(sizes):
        return f"it has {parameters} parameters or more, but the weights have {sum(sizes)} numbers"
    return _patches_problem(config, layers)


def _fewest_parameters(config: Any, layers: int) -> int:
    """Return a number of parameters that every supported model of these sizes exceeds."""
    width = config.hidden_size
    attention = 4 * width**2  # query, key, value and output
    embeddings = 0
    if hasattr(config, "patch_size"):
        embeddings += config.num_channels * config.patch_size**2
    else:
        embeddings += config.vocab_size + config.max_position_embeddings
    return int(layers * attention + embeddings * width)


def _patches_problem(config: Any, layers: int) -> str:
    if not hasattr(config, "patch_size"):
        return ""
    patches = (config.image_size // config.patch_size) ** 2
    if not 0 < patches <= limits.PATCHES:
        return f"its images have {patches} patches instead of 1 to {limits.PATCHES}"
    indexes = layers if getattr(config, "use_relative_position_bias", False) else 0
    indexes += bool(getattr(config, "use_shared_relative_position_bias", False))
    if 4 * indexes * (patches + 1) ** 2 > limits.POSITION_INDEX_BYTES:
        return f"its images have {patches} patches, too many for relative positions"
    return ""

"""Find the stored tensor of each parameter by name.

In Flax and PyTorch, a parameter's path differs in its last part only, and its elements in the order
of a kernel's axes only:

    Flax     h/0/mlp/c_fc/kernel    (in, out)  (height, width, in, out)
    PyTorch  h.0.mlp.c_fc.weight    (out, in)  (out, in, height, width)

A tied tensor is stored once, under one of several names. A checkpoint of one half may have the name
of the base model before each tensor, or not.
"""

from collections.abc import Iterable, Mapping

ParameterPath = tuple[str, ...]
"""The keys that lead to a parameter in nested dictionaries."""

_PYTORCH_LEAF = {
    **{"kernel": "weight", "scale": "weight", "embedding": "weight"},
    **{"gamma": "weight", "beta": "bias"},  # names of TensorFlow, in old checkpoints
}

_BASE_MODELS = frozenset(
    {
        *("vit", "beit", "dinov2", "dinov2_with_registers", "deit", "ijepa"),
        *("vision_model", "swin", "swinv2", "donut"),
        *("transformer", "bert", "roberta", "roberta_prelayernorm", "model", "electra"),
    }
)
"""The names of base models: `base_model_prefix` of transformers' PyTorch classes."""

_TIED = (
    ("wte.weight", "lm_head.weight"),
    ("decoder.embed_tokens.weight", "shared.weight", "lm_head.weight"),
    ("decoder.embed_tokens.weight", "output_projection.weight"),
    ("embed_tokens.weight", "lm_head.weight"),
    (
        "embeddings.word_embeddings.weight",
        "cls.predictions.decoder.weight",
        "lm_head.decoder.weight",
        "generator_lm_head.weight",
    ),
    ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    ("lm_head.bias", "lm_head.decoder.bias"),
)
"""Names of one tensor: `_tied_weights_keys` of transformers' PyTorch classes."""

_HEAD_KERNELS = (
    ("cls", "predictions", "decoder", "kernel"),
    ("lm_head", "decoder", "kernel"),
)
"""Heads of their own, whose bias PyTorch reads from the second of its names."""

_BUFFERS = (
    ".attn.bias",
    ".attn.masked_bias",
    ".crossattention.bias",
    ".crossattention.masked_bias",
    ".position_ids",
    ".token_type_ids",
    ".relative_position_index",
    ".relative_coords_table",
    ".attn_mask",
    ".final_logits_bias",
    ".embed_positions._float_tensor",
    ".decoder.embed_positions.weight",
)
"""Ends of the names of stored tensors that are not parameters."""

_UNUSED = (".pooler.", ".mask_token", ".vision_model.head.")
"""Parts of the names of parameters that a decoder never reads; a checkpoint may lack them."""

_TO_FLAX = {2: (1, 0), 4: (2, 3, 1, 0)}
_TO_PYTORCH = {2: (1, 0), 4: (3, 2, 0, 1)}


def pytorch_name(path: ParameterPath) -> str:
    """Return the PyTorch name of the parameter at `path`."""
    return ".".join((*path[:-1], _PYTORCH_LEAF.get(path[-1], path[-1])))


def canonical(name: str) -> str:
    """Return the PyTorch name of a stored tensor of one half, without that of a base model."""
    name = pytorch_name(tuple(name.split(".")))
    base, _, rest = name.partition(".")
    return rest if base in _BASE_MODELS else name


def candidates(path: ParameterPath, paths: Iterable[ParameterPath]) -> tuple[str, ...]:
    """Return the names that the tensor of a parameter can have, in the form of `canonical`.

    Args:
        path: the parameter, in the parameters of one half.
        paths: all parameters of that half.
    """
    name = canonical(".".join(path))
    ties = [group for group in _TIED if name in group]
    names = tuple(dict.fromkeys((name, *(other for group in ties for other in group))))
    if second_name(path, paths):
        return names[::-1]
    return names


def second_name(path: ParameterPath, paths: Iterable[ParameterPath]) -> str | None:
    """Return the name of a head's bias that PyTorch has beside the usual one, if it needs both.

    transformers 5 ties the two names only if it ties the head's weight, too.
    """
    head = (*path[:-1], "decoder", "kernel")
    if path[-1] == "bias" and head in _HEAD_KERNELS and head in paths:
        return ".".join((*path[:-1], "decoder", "bias"))
    return None


def is_buffer(name: str) -> bool:
    """Return whether a stored tensor is computed from the config, and no parameter."""
    return f".{name}".endswith(_BUFFERS)


def is_unused(path: ParameterPath) -> bool:
    """Return whether a decoder never reads a parameter, so that a checkpoint may lack it."""
    name = "." + ".".join(path)
    return any(part in name for part in _UNUSED)


def transposition(stored: str, path: ParameterPath, rank: int) -> tuple[int, ...] | None:
    """Return the order of the axes that makes a stored tensor the parameter at `path`.

    Args:
        stored: the name of the tensor in the file. Flax's kernels are called so there, too.
        path: the parameter.
        rank: how many axes the tensor has.

    Returns:
        None: the axes have that order already.
    """
    has, needs = stored.endswith("kernel"), path[-1] == "kernel"
    if has == needs:
        return None
    return (_TO_FLAX if needs else _TO_PYTORCH).get(rank)


def find(
    paths: Iterable[ParameterPath], stored: Iterable[str]
) -> tuple[dict[ParameterPath, str], list[str]]:
    """Return the stored name of each parameter of one half, and the names that nobody needs.

    Args:
        paths: the parameters of the half.
        stored: the names of the stored tensors.

    Returns:
        The names by path, without the parameters that have none. The second list has neither
        buffers nor other names of a tensor in use.
    """
    paths, found, known = set(paths), dict[ParameterPath, str](), set[str]()
    by_name: Mapping[str, str] = {canonical(name): name for name in stored}
    for path in paths:
        names = candidates(path, paths)
        known.update(names)
        first = next((name for name in names if name in by_name), None)
        if first is not None:
            found[path] = by_name[first]
    extra = [name for key, name in by_name.items() if key not in known and not is_buffer(key)]
    return found, extra

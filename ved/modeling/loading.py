"""Load parameters from a directory or a Hub, each tensor once, straight to its dtype and devices.

Nothing is drawn at random here. A parameter without a tensor, a tensor without a parameter and a
tensor with another shape are errors that name them.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from ved.modeling import names
from ved.modeling.errors import ModelingError
from ved.modeling.files import MSGPACK, SAFETENSORS, Stored, read_index, shards, weight_files

logger = logging.getLogger(__name__)

_MOST_NAMED = 10

HALVES = ("encoder", "decoder")


def fetch(repo: str | Path, *, config_only: bool = False, **options: Any) -> Path:
    """Return a directory with the config and the weights of a checkpoint.

    Args:
        repo: a directory, or the id of a repo on the Hub, from which only the files are downloaded
            that are needed and not in the cache.
        config_only: whether weights are not needed.
        **options: see `huggingface_hub.hf_hub_download`: revision, token, cache_dir and so on.

    Raises:
        ModelingError: the repo has no weights that can be read.
        OSError: the repo cannot be read.
    """
    if Path(repo).is_dir():
        return Path(repo)
    directory = Path(hf_hub_download(str(repo), "config.json", **options)).parent
    # All files come from the commit of the config, even if the branch moves meanwhile.
    options = {**options, "revision": directory.name}
    _download(repo, "generation_config.json", options)
    if config_only:
        return directory
    for name in (MSGPACK, SAFETENSORS):
        if _download(repo, name, options):
            return directory
        index = _download(repo, f"{name}.index.json", options)
        if index:
            for shard in shards(index):
                hf_hub_download(str(repo), shard, **options)
            return directory
    raise ModelingError(f"{repo} has neither {MSGPACK} nor {SAFETENSORS}.")


def _download(repo: str | Path, name: str, options: Mapping[str, Any]) -> Path | None:
    try:
        return Path(hf_hub_download(str(repo), name, **options))
    except EntryNotFoundError:
        return None


def load_checkpoint(directory: Path, shapes: Any, dtype: Any = None, sharding: Any = None) -> Any:
    """Return the parameters of a whole model.

    Args:
        directory: a directory with config and weights; see `fetch`.
        shapes: the parameters of the model as `jax.ShapeDtypeStruct`, in nested dictionaries.
        dtype: the dtype of the parameters; None: that of the file.
        sharding: where to put them: a `jax.sharding.Sharding` for all, or nested dictionaries of
            them as the parameters.

    Raises:
        ModelingError: the file does not have the parameters of the model.
    """
    tensors = _index(directory)
    wanted = flatten_dict(shapes)
    found: dict[names.ParameterPath, str] = {}
    extra: list[str] = []
    for half in HALVES:
        prefix = f"{half}."
        paths = [path[1:] for path in wanted if path[0] == half]
        stored = [name.removeprefix(prefix) for name in tensors if name.startswith(prefix)]
        of_half, unexpected = names.find(paths, stored)
        found |= {(half, *path): prefix + name for path, name in of_half.items()}
        extra += [prefix + name for name in unexpected]
    others = [path for path in wanted if path[0] not in HALVES]
    of_both, unexpected = names.find(
        others, [name for name in tensors if name.split(".")[0] not in HALVES]
    )
    _refuse("parameters that the model does not have", [*extra, *unexpected])
    found |= of_both
    missing = [path for path in wanted if path not in found]
    _refuse("no", [".".join(path) for path in missing if not names.is_unused(path)])
    params = _read(tensors, found, wanted, dtype, sharding)
    for path in missing:
        logger.warning("The checkpoint lacks %s, which nothing reads: zeros.", ".".join(path))
        kind = dtype or wanted[path].dtype
        params[path] = _put(np.zeros(wanted[path].shape, kind), path, sharding)
    return unflatten_dict(params)


def load_half(
    directory: Path, shapes: Any, dtype: Any = None, sharding: Any = None
) -> dict[names.ParameterPath, jax.Array]:
    """Return the parameters that a pretrained encoder or decoder has, by path.

    Tensors for other tasks, such as a classifier, are left out, with a warning.

    Args:
        directory: a directory with config and weights; see `fetch`.
        shapes: see `load_checkpoint`.
        dtype: see `load_checkpoint`.
        sharding: see `load_checkpoint`.

    Raises:
        ModelingError: a tensor has another shape than the parameter.
    """
    tensors, wanted = _index(directory), flatten_dict(shapes)
    found, extra = names.find(wanted, tensors)
    if extra:
        logger.warning("Not used from %s: %s", directory, _listed(extra))
    return _read(tensors, found, wanted, dtype, sharding)


def _index(directory: Path) -> dict[str, Stored]:
    tensors: dict[str, Stored] = {}
    for file in weight_files(directory):
        tensors |= read_index(file)
    return tensors


def _read(
    tensors: Mapping[str, Stored],
    found: Mapping[names.ParameterPath, str],
    wanted: Mapping[names.ParameterPath, Any],
    dtype: Any,
    sharding: Any,
) -> dict[names.ParameterPath, jax.Array]:
    """Read each tensor, after all shapes have been checked."""
    axes = {
        path: names.transposition(name, path, len(tensors[name].shape))
        for path, name in found.items()
    }
    wrong = []
    for path, name in found.items():
        shape, order = tensors[name].shape, axes[path]
        shape = tuple(shape[axis] for axis in order) if order else shape
        if shape != wanted[path].shape:
            wrong.append(f"{'.'.join(path)} {shape} instead of {wanted[path].shape}")
    _refuse("other shapes than the config says", wrong)
    params = {}
    for path, name in found.items():
        array = tensors[name].read()
        order = axes[path]
        if order:
            array = array.transpose(order)
        if dtype is not None and jnp.issubdtype(array.dtype, jnp.floating):
            array = array.astype(dtype)
        params[path] = _put(np.ascontiguousarray(array), path, sharding)
    return params


def _put(array: Any, path: names.ParameterPath, sharding: Any) -> jax.Array:
    """Return an array on its devices."""
    if isinstance(sharding, Mapping):
        for key in path:
            sharding = sharding[key]
    return jax.device_put(array, sharding)


def _refuse(problem: str, found: list[str]) -> None:
    if found:
        raise ModelingError(
            f"The checkpoint has {problem}: {_listed(found)}. Check that config and weights belong "
            "together."
        )


def _listed(found: list[str]) -> str:
    found = sorted(found)
    more = len(found) - _MOST_NAMED
    listed = ", ".join(found[:_MOST_NAMED])
    return f"{listed} and {more} more" if more > 0 else listed

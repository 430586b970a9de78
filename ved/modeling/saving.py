"""Write the files of a checkpoint, and upload them."""

import json
import tempfile
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from flax.serialization import to_bytes
from flax.traverse_util import flatten_dict, unflatten_dict
from huggingface_hub import HfApi
from safetensors.flax import save_file

from ved.modeling import names
from ved.modeling.config import Config
from ved.modeling.families import decoder_settings, encoder_settings
from ved.modeling.files import MSGPACK, SAFETENSORS

SHARD_BYTES = 10 * 10**9
"""The largest weight file that transformers writes."""


class SavedModel:
    """A model that can be saved; see `FlaxVisionEncoderDecoderModel`."""

    config: Config
    params: Any
    generation_config: dict[str, Any]

    def save_pretrained(
        self,
        directory: str | Path,
        params: Any = None,
        *,
        safe_serialization: bool = False,
        max_shard_size: int = SHARD_BYTES,
    ) -> None:
        """Write config.json, generation_config.json and the weights.

        Args:
            directory: it is created if it is missing.
            params: parameters to use instead of `self.params`.
            safe_serialization: False writes flax_model.msgpack, True writes model.safetensors,
                which PyTorch reads, too.
            max_shard_size: the largest size of a weight file, in bytes.
        """
        params = self.params if params is None else params
        save(
            Path(directory),
            params,
            self.config.to_dict(),
            self.generation_config,
            safe_serialization=safe_serialization,
            shard_bytes=max_shard_size,
        )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        params: Any = None,
        token: str | bool | None = None,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str = "Upload model",
        safe_serialization: bool = False,
    ) -> str:
        """Upload the files of `save_pretrained` in one commit, and return its URL.

        Args:
            repo_id: the repo, which is created if it is missing.
            params: parameters to use instead of `self.params`.
            token: the token of the Hub; None: the stored one.
            private: whether a new repo is private; None: as the account has it.
            revision: the branch; None: the default branch.
            commit_message: the title of the commit.
            safe_serialization: see `save_pretrained`.
        """
        return push(
            repo_id,
            lambda directory: self.save_pretrained(
                directory, params, safe_serialization=safe_serialization
            ),
            token=token,
            private=private,
            revision=revision,
            commit_message=commit_message,
        )


def save(
    directory: Path,
    params: Any,
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any],
    *,
    safe_serialization: bool,
    shard_bytes: int,
) -> None:
    """Write a checkpoint; see `FlaxVisionEncoderDecoderModel.save_pretrained`."""
    directory.mkdir(parents=True, exist_ok=True)
    architecture = "VisionEncoderDecoderModel"
    if not safe_serialization:
        architecture = f"Flax{architecture}"
    _write_json(directory / "config.json", {**config, "architectures": [architecture]})
    _write_json(directory / "generation_config.json", generation_config)
    if safe_serialization:
        tensors, name, write = _pytorch(params), SAFETENSORS, _write_safetensors
        encoder, decoder = encoder_settings(config["encoder"]), decoder_settings(config["decoder"])
        for half, buffers in (("encoder", encoder.buffers), ("decoder", decoder.buffers)):
            tensors |= {f"{half}.{name}": array for name, array in buffers.items()}
    else:
        flat = {"/".join(path): array for path, array in flatten_dict(params).items()}
        tensors, name, write = flat, MSGPACK, _write_msgpack
    for file in (MSGPACK, SAFETENSORS):  # another format would be read instead, or go stale
        for old in directory.glob(f"{Path(file).stem}*{Path(file).suffix}*"):
            old.unlink()
    shards = _shards(tensors, shard_bytes)
    if len(shards) == 1:
        write(directory / name, shards[0])
        return
    stem, suffix = Path(name).stem, Path(name).suffix
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"{stem}-{number:05d}-of-{len(shards):05d}{suffix}"
        write(directory / file, shard)
        weight_map |= dict.fromkeys(shard, file)
    total = sum(map(_bytes, tensors.values()))
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(directory / f"{name}.index.json", index)


def push(
    repo_id: str,
    write: Callable[[Path], None],
    *,
    token: str | bool | None,
    private: bool | None,
    revision: str | None,
    commit_message: str,
) -> str:
    """Upload the files that `write` writes into a directory; return the URL of the commit."""
    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        commit = api.upload_folder(
            repo_id=repo_id, folder_path=folder, revision=revision, commit_message=commit_message
        )
    return str(commit.commit_url)


def _pytorch(params: Any) -> dict[str, Any]:
    """Return parameters with the names and axes of PyTorch."""
    tensors = {}
    flat = flatten_dict(params)
    for path, array in flat.items():
        of_half = {other[1:] for other in flat if other[0] == path[0]}
        order = names.transposition(names.pytorch_name(path), path, array.ndim)
        # The order of axes is reversed from that of reading.
        order = names.transposition("kernel", (*path[:-1], "weight"), array.ndim) if order else None
        stored = np.asarray(array).transpose(order) if order else np.asarray(array)
        tensors[names.pytorch_name(path)] = np.ascontiguousarray(stored)
        second = names.second_name(path[1:], of_half)
        if second:
            tensors[f"{path[0]}.{second}"] = tensors[names.pytorch_name(path)].copy()
    return tensors


def _write_safetensors(path: Path, tensors: Mapping[str, Any]) -> None:
    save_file(dict(tensors), path, {"format": "pt"})


def _write_msgpack(path: Path, tensors: Mapping[str, Any]) -> None:
    tree = unflatten_dict({tuple(name.split("/")): array for name, array in tensors.items()})
    path.write_bytes(to_bytes(tree))


def _shards(tensors: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """Return the tensors in groups of at most `most` bytes, or of one tensor."""
    shards: list[dict[str, Any]] = [{}]
    size = 0
    for name in sorted(tensors):
        if size + _bytes(tensors[name]) > most and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = tensors[name]
        size += _bytes(tensors[name])
    return shards


def _bytes(array: Any) -> int:
    return prod(array.shape) * int(np.dtype(array.dtype).itemsize)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")

"""Assemble checkpoints from local directories, and read their files with other libraries."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
from flax.serialization import msgpack_restore
from flax.traverse_util import flatten_dict
from huggingface_hub import HfApi
from numpy.typing import NDArray

from ved.assembly.assemble import Checkpoint, assemble
from ved.assembly.config_files import load_config
from ved.assembly.image_processor import prepare_image_processor
from ved.assembly.ledger import Ledger, Reason, initialized_groups
from ved.assembly.prepared import PreparedSource
from ved.assembly.tokenizer import prepare_tokenizer
from ved.families.family import Role
from ved.manifest.pair_models import ConfigRef, SourceRef
from ved.manifest.settings import CheckpointSettings
from ved.modeling.families import decoder_settings, encoder_settings
from ved.modeling.initial_parameters import decoder_params, encoder_params
from ved.sources.source import Source, resolve_source

Parameters: TypeAlias = dict[tuple[str, ...], NDArray[Any]]


def source(
    role: Role, directory: Path, *, config: Path | None = None, allow_pickle: bool = False
) -> Source:
    """Return a local directory as a source; `config` is a directory with another config.json."""
    ref = SourceRef(
        model=_named(directory),
        config=None if config is None else ConfigRef(model=_named(config)),
        allow_pickle=allow_pickle,
    )
    api = HfApi()
    return resolve_source(role, ref, api).fetch(api)


def _named(directory: Path) -> str:
    """Return a directory as a manifest has it, where a relative one begins with a dot."""
    return str(directory) if directory.is_absolute() else f"./{directory}"


def assemble_pair(
    encoder: Path,
    decoder: Path,
    directory: Path,
    settings: CheckpointSettings | None = None,
    *,
    encoder_config: Path | None = None,
    decoder_config: Path | None = None,
    allow_pickle: bool = False,
) -> Checkpoint:
    """Assemble two local directories into a new directory."""
    directory.mkdir(parents=True)
    return assemble_sources(
        source("encoder", encoder, config=encoder_config, allow_pickle=allow_pickle),
        source("decoder", decoder, config=decoder_config, allow_pickle=allow_pickle),
        directory,
        settings,
    )


def assemble_sources(
    encoder: Source, decoder: Source, directory: Path, settings: CheckpointSettings | None = None
) -> Checkpoint:
    """Assemble two sources, whose small files are parsed in this process, into a directory."""
    prepared: dict[Role, PreparedSource] = {
        "encoder": _prepared(encoder, prepare_image_processor),
        "decoder": _prepared(decoder, prepare_tokenizer),
    }
    return assemble(encoder, decoder, directory, settings or CheckpointSettings(), prepared)


def _prepared(source: Source, prepare: Callable[..., Any]) -> PreparedSource:
    resolved = source.resolved
    files = prepare(source.directory, resolved.config, resolved.family, str(source))
    return PreparedSource(load_config(source).settings, files)


def model_shapes(role: Role, config: Mapping[str, Any]) -> Any:
    """Return the shapes of a model's parameters, as nested dictionaries."""
    if role == "encoder":
        return jax.eval_shape(lambda: encoder_params(encoder_settings(config), 0))
    return jax.eval_shape(lambda: decoder_params(decoder_settings(config), 0))


def parameters_in(directory: Path) -> Parameters:
    """Return what Flax reads in flax_model.msgpack, by path."""
    tree = msgpack_restore((directory / "flax_model.msgpack").read_bytes())
    return dict(flatten_dict(tree))


def parameters_of(model: Any) -> Parameters:
    """Return the parameters of a Flax model by path."""
    return {path: np.asarray(leaf) for path, leaf in flatten_dict(model.params).items()}


def assert_same_parameters(
    actual: Mapping[tuple[str, ...], NDArray[Any]], expected: Mapping[tuple[str, ...], NDArray[Any]]
) -> None:
    """Check that paths, dtypes, shapes and every bit are the same."""
    assert actual.keys() == expected.keys()
    different = [
        "/".join(path)
        for path in expected
        if (actual[path].dtype, actual[path].shape, actual[path].tobytes())
        != (expected[path].dtype, expected[path].shape, expected[path].tobytes())
    ]
    assert not different


def groups_of(ledger: Ledger) -> dict[str, Reason]:
    return initialized_groups(ledger.copied, ledger.initialized)


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    return content


def edit_json(path: Path, **changes: object) -> None:
    """Change members of a JSON object in a file."""
    path.write_text(json.dumps(read_json(path) | changes))

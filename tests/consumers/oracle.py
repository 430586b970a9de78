"""Do tasks with the Flax classes of transformers 4.57.6, in an environment without VED.

usage: oracle.py REQUEST.json ANSWER.npz

The request has the tasks by label: the name of a function of `TASKS`, and its arguments. The answer
has the arrays of each task as `LABEL:NAME`, where the name of a parameter is its path with slashes.
`report` has everything else, as JSON, by label.
"""

import ast
import hashlib
import inspect
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import transformers
from flax.serialization import msgpack_serialize
from flax.traverse_util import flatten_dict, unflatten_dict
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    FlaxAutoModel,
    FlaxAutoModelForCausalLM,
    FlaxVisionEncoderDecoderModel,
    GenerationConfig,
    PretrainedConfig,
    VisionEncoderDecoderConfig,
)
from transformers.modeling_flax_pytorch_utils import load_pytorch_checkpoint_in_flax_state_dict
from transformers.modeling_flax_utils import flax_shard_checkpoint

Arrays = dict[str, np.ndarray[Any, Any]]
Answer = tuple[Arrays, Any]

TOKEN_ROLES = ("decoder_start", "bos", "pad", "eos")


def script(
    encoder: str,
    decoder: str,
    encoder_config: str | None = None,
    decoder_config: str | None = None,
    read: str | None = None,
    save: str | None = None,
) -> Answer:
    """Create a model with the steps of transformers' create_model_from_encoder_decoder_models.

    Args:
        encoder: the directory of the encoder.
        decoder: the directory of the decoder.
        encoder_config: the directory of another config of the encoder.
        decoder_config: the directory of another config of the decoder.
        read: a safetensors file of the model in PyTorch's layout, whose parameters are `read/...`.
        save: a directory for the model, the image processor and the tokenizer.

    Returns:
        The parameters as `params/...`; the `config` as saved, which lacks defaults of classes, and
        the `token_ids` of `model` and `decoder`.
    """
    configs = {
        "encoder": AutoConfig.from_pretrained(encoder_config or encoder),
        "decoder": AutoConfig.from_pretrained(decoder_config or decoder),
    }
    configs["decoder"].is_decoder = True
    configs["decoder"].add_cross_attention = True
    model = FlaxVisionEncoderDecoderModel.from_encoder_decoder_pretrained(
        encoder_pretrained_model_name_or_path=encoder,
        decoder_pretrained_model_name_or_path=decoder,
        encoder_config=configs["encoder"],
        decoder_config=configs["decoder"],
    )
    start, pad = configs["decoder"].decoder_start_token_id, configs["decoder"].pad_token_id
    eos = configs["decoder"].eos_token_id
    model.config.decoder_start_token_id = (
        configs["decoder"].bos_token_id if start is None else start
    )
    model.config.pad_token_id = eos if pad is None else pad
    model.config.eos_token_id = eos
    if save:
        image_processor = AutoImageProcessor.from_pretrained(encoder)
        tokenizer = AutoTokenizer.from_pretrained(decoder)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(model.config.pad_token_id)
        for part in (model, image_processor, tokenizer):
            part.save_pretrained(save)
        return {}, None
    trees = {"params": model.params}
    if read:  # transformers tells the layouts apart by the shapes of a model
        trees["read"] = load_pytorch_checkpoint_in_flax_state_dict(model, read, is_sharded=False)
    ids = {
        part: {role: getattr(config, f"{role}_token_id") for role in TOKEN_ROLES}
        for part, config in (("model", model.config), ("decoder", model.config.decoder))
    }
    return named(trees), {"config": saved_config(model), "token_ids": ids}


def load(directory: str) -> Answer:
    """Load a checkpoint; return its parameters, and the token ids that generate uses."""
    with zero_parameters(FlaxVisionEncoderDecoderModel):
        model = FlaxVisionEncoderDecoderModel.from_pretrained(directory)
    ids = {
        "decoder_start_token_id": model.config.decoder_start_token_id,
        "pad_token_id": model.config.pad_token_id,
        "eos_token_id": model.generation_config.eos_token_id,
    }
    return named(model.params), ids


def load_part(directory: str, role: str) -> Answer:
    """Load an encoder or a decoder.

    Returns:
        The parameters in float32, and what the class reports: `model_type`, `dtypes`, and the names
        of parameters, with dots, that are `unexpected` or `missing`.
    """
    auto_class = FlaxAutoModel if role == "encoder" else FlaxAutoModelForCausalLM
    model_class = auto_class._model_mapping[type(AutoConfig.from_pretrained(directory))]
    with zero_parameters(model_class), messages() as lines:
        model = auto_class.from_pretrained(directory)
    parameters = {name: np.asarray(array) for name, array in named(model.params).items()}
    report = {
        "model_type": model.config.model_type,
        "dtypes": sorted({str(array.dtype) for array in parameters.values()}),
        "unexpected": names_in(lines, "were not used when", "All model checkpoint weights were"),
        "missing": names_in(lines, "are newly initialized", "All the weights of Flax"),
    }
    return {name: array.astype(np.float32) for name, array in parameters.items()}, report


def draw(config: dict[str, Any], seeds: list[int]) -> Answer:
    """Return digests of the parameters of new models of a config, by seed; see `compute`."""
    digests = {}
    for seed in seeds:
        digests[str(seed)] = digest(FlaxVisionEncoderDecoderModel(both(config), seed=seed).params)
    return {}, digests


def compute(config: dict[str, Any], inputs: str, outputs: bool) -> Answer:
    """Compute a model of a config.

    Args:
        config: `encoder` and `decoder`, with the settings that differ from the defaults.
        inputs: a file with the arguments of the model, and parameters as `params/...`.
        outputs: whether to return all outputs too.

    Returns:
        The `logits`, compiled, and maybe all outputs, not compiled, as `outputs/FIELD/NUMBER`. The
        report then has the shapes in the cache.
    """
    with zero_parameters(FlaxVisionEncoderDecoderModel):
        model = FlaxVisionEncoderDecoderModel(both(config))
    with np.load(inputs) as stored:
        given = dict(stored)
    start = "params/"
    params = unflatten_dict(
        {
            tuple(name.removeprefix(start).split("/")): given.pop(name)
            for name in [*given]
            if name.startswith(start)
        }
    )
    arrays = {"logits": np.asarray(jax.jit(model.__call__)(**given, params=params).logits)}
    cache = None
    if outputs:
        found = model(**given, params=params, output_attentions=True, output_hidden_states=True)
        for field, value in found.items():
            for number, leaf in enumerate(jax.tree.leaves(value)):
                arrays[f"outputs/{field}/{number}"] = np.asarray(leaf)
        length = 10
        states = (project(params, found.encoder_last_hidden_state),)
        shapes = jax.eval_shape(lambda: model.init_cache(len(states[0]), length, states))
        cache = {name: leaf.shape for name, leaf in flatten_dict(shapes, sep="/").items()}
    return arrays, cache


def both(config: dict[str, Any]) -> Any:
    """Return the config of transformers for the configs of both halves."""
    parts = (AutoConfig.for_model(**config[role]) for role in ("encoder", "decoder"))
    return VisionEncoderDecoderConfig.from_encoder_decoder_configs(*parts)


def project(params: Any, states: Any) -> Any:
    """Return the encoder's states with the width of the decoder."""
    if "enc_to_dec_proj" not in params:
        return states
    return states @ params["enc_to_dec_proj"]["kernel"]


def rewrite(directory: str) -> Answer:
    """Read and write the settings of a checkpoint; return the names of files that differ then."""
    path = Path(directory)
    config = AutoConfig.from_pretrained(path)
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        if (path / "preprocessor_config.json").exists():
            AutoImageProcessor.from_pretrained(path, use_fast=False).save_pretrained(folder)
        if (path / "tokenizer.json").exists():
            AutoTokenizer.from_pretrained(path).save_pretrained(folder)
        if (path / "generation_config.json").exists():
            GenerationConfig.from_model_config(config).save_pretrained(folder)
        written = {each.name: each.read_bytes() for each in Path(folder).iterdir()}
    # Tokens that are read have flags, which they do not have without tokenizer_config.json.
    for name in ("tokenizer.json", "special_tokens_map.json"):
        written.pop(name, None)
    return {}, [name for name in sorted(written) if written[name] != (path / name).read_bytes()]


def settings(model_types: list[str]) -> Answer:
    """Return the names of all settings that the classes of these model types know."""
    found = {}
    for model_type in model_types:
        config_class = CONFIG_MAPPING[model_type]
        names = {
            *inspect.signature(config_class.__init__).parameters,
            *inspect.signature(PretrainedConfig.__init__).parameters,
            *PretrainedConfig._get_global_generation_defaults(),
            *GenerationConfig().to_dict(),
            *config_class.attribute_map,
            *config_class().to_dict(),
        } - {"self", "kwargs"}
        found[model_type] = sorted(name for name in names if not name.startswith("_"))
    return {}, found


def methods(names: list[str]) -> Answer:
    """Return the parameters of methods of the class, and their defaults as text."""
    found = {
        name: {
            parameter.name: repr(parameter.default)
            for parameter in inspect.signature(
                getattr(FlaxVisionEncoderDecoderModel, name)
            ).parameters.values()
        }
        for name in names
    }
    return {}, found


def shards(arrays: str, sizes: list[int]) -> Answer:
    """Return the sha256 of all files that the class writes for parameters, by the shards' size."""
    with np.load(arrays) as stored:
        tree = unflatten_dict({tuple(name.split("/")): stored[name] for name in stored})
    found = {}
    for size in sizes:
        parts, index = flax_shard_checkpoint(tree, size)
        files = {
            name: msgpack_serialize(unflatten_dict(part, sep="/")) for name, part in parts.items()
        }
        if index is not None:
            text = json.dumps(index, indent=2, sort_keys=True) + "\n"
            files["flax_model.msgpack.index.json"] = text.encode()
        found[str(size)] = {
            name: hashlib.sha256(content).hexdigest() for name, content in files.items()
        }
    return {}, found


TASKS: Mapping[str, Callable[..., Answer]] = {
    each.__name__: each
    for each in (script, load, load_part, draw, compute, rewrite, settings, methods, shards)
}


def named(params: Any) -> Arrays:
    """Return parameters by their paths with slashes."""
    return {name: np.asarray(leaf) for name, leaf in flatten_dict(params, sep="/").items()}


def digest(params: Any) -> str:
    """Return a digest of names, shapes, dtypes and bits; tests.modeling.oracle has the same."""
    found = hashlib.sha256()
    for path, leaf in sorted(flatten_dict(params).items()):
        array = np.asarray(leaf)
        found.update(repr((path, array.shape, str(array.dtype))).encode() + array.tobytes())
    return found.hexdigest()


def saved_config(model: Any) -> Any:
    """Return the content of the config.json of a model."""
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        return json.loads(Path(folder, "config.json").read_text())


@contextmanager
def zero_parameters(model_class: Any) -> Iterator[None]:
    """Let the new models of a class have zeros for parameters: drawing them takes seconds.

    A checkpoint's parameters replace them.
    """
    init_weights = model_class.init_weights

    def initialized(model: Any, rng: Any, input_shape: Any, params: Any = None) -> Any:
        assert params is None
        shapes = jax.eval_shape(partial(init_weights, model, input_shape=input_shape), rng)
        return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)

    model_class.init_weights = initialized
    try:
        yield
    finally:
        model_class.init_weights = init_weights


@contextmanager
def messages() -> Iterator[list[str]]:
    """Collect the first line of each message that a class logs while it loads."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage().splitlines()[0])

    logger, handler = logging.getLogger("transformers.modeling_flax_utils"), Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def names_in(lines: list[str], some: str, none: str) -> list[str]:
    """Return the names in the lines with the text `some`. Without them, a line must have `none`."""
    names = {
        ".".join(path)
        for line in lines
        if some in line
        for path in ast.literal_eval(line[line.index(": {") + 2 :])
    }
    assert names or any(none in line for line in lines)
    return sorted(names)


def main(request: str, answer: str) -> None:
    """Do the tasks."""
    transformers.logging.disable_progress_bar()
    arrays: Arrays = {}
    report = {}
    for label, asked in json.loads(Path(request).read_text())["tasks"].items():
        found, report[label] = TASKS[asked.pop("task")](**asked)
        arrays |= {f"{label}:{name}": array for name, array in found.items()}
    np.savez(answer, report=json.dumps(report), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Recognize what is not a checkpoint that VED can read, and say what it is and what to do.

A list of files and a config are enough: nothing else is downloaded, except the small file that
names the base model of an adapter.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx2
from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.hub.answers import MalformedAnswerError
from ved.hub.pages import fetch_json
from ved.manifest.fields import is_repo_id
from ved.sources.snapshot import PICKLED_WEIGHTS, WEIGHTS, Snapshot, read_json
from ved.text import quoted

_ADAPTER = "adapter_config.json"
_MARGINAL = (".gitattributes", ".gitignore", "license", "license.txt", "license.md", "readme.md")
"""Files that every repo can have, in lower case."""


class _Kind(NamedTuple):
    """A kind of repos.

    Attributes:
        marker: a file that only such repos have.
        name: what such a repo is.
        remedy: what to do.
    """

    marker: str
    name: str
    remedy: str


_KINDS = (
    _Kind(
        "model_index.json",
        "a diffusers pipeline, which is several models with folders of their own",
        "Name a vision encoder or a text decoder of transformers.",
    ),
    _Kind(
        "modules.json",
        "a sentence-transformers model, whose parts have folders of their own",
        "Name the model that it was trained from.",
    ),
    _Kind(
        "pytorch_lora_weights.safetensors",
        "a LoRA adapter for diffusers, not a whole model",
        "Name a vision encoder or a text decoder of transformers.",
    ),
    _Kind(
        "open_clip_config.json",
        "an OpenCLIP model",
        "Name a vision encoder of transformers, such as google/vit-base-patch16-224-in21k.",
    ),
)

# The end of a file's name, and the software that reads it. Formats that people share most are
# first.
_FORMATS = {
    ".gguf": "llama.cpp (GGUF)",
    ".onnx": "ONNX",
    "openvino_model.xml": "OpenVINO",
    ".h5": "TensorFlow",
    "saved_model.pb": "TensorFlow",
    ".tflite": "TensorFlow Lite",
    ".keras": "Keras",
    ".mlmodel": "Core ML",
    ".ot": "Rust",
    ".nemo": "NeMo",
    ".npz": "MLX or NumPy",
    ".ckpt": "PyTorch, without transformers",
    ".pth": "PyTorch, without transformers",
    ".pt": "PyTorch, without transformers",
}

_QUANTIZED = {"quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Files of quantized checkpoints that say nothing of it in config.json, and their methods."""


def unusable_repo(snapshot: Snapshot, api: HfApi) -> VedError | None:
    """Return the error for a repo without config or weights; None if the kind is unknown.

    Args:
        snapshot: a repo or a local directory that lacks one of these files.
        api: the client.

    Raises:
        VedError: the download of a small file fails.
    """
    files = snapshot.files
    if not any(name.lower() not in _MARGINAL for name in files):
        what = "has no files except" if files else "is empty"
        remedy = "Name a checkpoint of transformers, or upload the files first."
        return _error(snapshot, what, remedy, has=sorted(files)[:3])
    has_weights = any(
        name.removesuffix(".index.json") in WEIGHTS + PICKLED_WEIGHTS for name in files
    )
    if _ADAPTER in files and not has_weights:
        return _adapter(snapshot, api)
    for kind in _KINDS:
        if kind.marker in files:
            return _error(snapshot, f"is {kind.name}", kind.remedy, has=[kind.marker])
    if has_weights:
        return None
    for ending, software in _FORMATS.items():
        for name in sorted(files):
            if name.lower().endswith(ending):
                return VedError(
                    f"{snapshot} has weights only for {software} ({quoted(name)}).",
                    f"VED reads {', '.join(WEIGHTS)} and their sharded forms. Name the model that "
                    "these weights were converted from.",
                    code=ErrorCode.NO_USABLE_WEIGHTS,
                )
    return None


def check_config_kind(config: Mapping[str, Any], snapshot: Snapshot) -> None:
    """Refuse a config that shows that the repo is not one pretrained encoder or decoder.

    Args:
        config: the content of config.json.
        snapshot: the repo or directory of the config.

    Raises:
        VedError: it is a timm model, or quantized.
    """
    model_type = config.get("model_type")
    if model_type is None and "pretrained_cfg" in config:
        raise _error(
            snapshot,
            "is a timm model",
            "Name a vision encoder of transformers, such as google/vit-base-patch16-224-in21k.",
        )
    method = _quantization(config.get("quantization_config"), snapshot)
    if method:
        raise VedError(
            f"The weights of {snapshot} are quantized ({method}).",
            "Name the original model, which the model card names.",
            code=ErrorCode.UNSUPPORTED_SETTINGS,
        )


def other_repo_type(repo: str, api: HfApi) -> str | None:
    """Return whether an id is that of a dataset or a Space, in two requests at most.

    Args:
        repo: a valid id, of which the Hub has no model.
        api: the client.

    Returns:
        `dataset`, `Space`, or None.
    """
    for kind in ("dataset", "Space"):
        try:
            fetch_json(f"{api.endpoint}/api/{kind.lower()}s/{repo}", {}, api)
        except (httpx2.HTTPError, MalformedAnswerError):
            continue
        return kind
    return None


def _error(snapshot: Snapshot, what: str, remedy: str, *, has: Sequence[str] = ()) -> VedError:
    files = f" ({', '.join(map(quoted, has))})" if has else ""
    return VedError(f"{snapshot} {what}{files}.", remedy, code=ErrorCode.NOT_A_CHECKPOINT)


def _adapter(snapshot: Snapshot, api: HfApi) -> VedError:
    config = read_json(snapshot, _ADAPTER, api)
    base = _repo_or_none(config.get("base_model_name_or_path"))
    method = "a LoRA adapter" if config.get("peft_type", "LORA") == "LORA" else "an adapter of PEFT"
    of = f" of {base}" if base else ""
    return _error(
        snapshot,
        f"is {method}{of}, not a whole model",
        "Merge it into its base model first, with merge_and_unload of PEFT, and name the result.",
        has=[_ADAPTER],
    )


def _repo_or_none(name: object) -> str | None:
    # Text of a source: only an id is repeated.
    return name if isinstance(name, str) and is_repo_id(name) else None


def _quantization(settings: object, snapshot: Snapshot) -> str:
    """Return the method that the weights are quantized with; empty if they are not."""
    found = [method for name, method in _QUANTIZED.items() if name in snapshot.files]
    if found or not settings:
        return "".join(found[:1])
    named = settings.get("quant_method") if isinstance(settings, dict) else None
    return quoted(named) if isinstance(named, str) else "quantization_config"

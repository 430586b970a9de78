"""Compute the outputs of single models with many configs in PyTorch, without VED.

usage: settings.py REQUEST.json ANSWER.npz

Without `pixels` in the request, new models are created, and written to their directories. With it,
these checkpoints are read: `pixels` is the answer of the process that wrote them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForCausalLM


def main(request: str, answer: str) -> None:
    """Write an array with the output of each model; `failed` has the errors of stored ones."""
    asked = json.loads(Path(request).read_text())
    states = torch.tensor(np.load(asked["encoder_hidden_states"]))
    stored = np.load(asked["pixels"]) if "pixels" in asked else None
    arrays: dict[str, Any] = {}
    failed = {}
    for name, source in asked["sources"].items():
        try:
            pixels = None if stored is None else torch.tensor(stored[f"{name} pixels"])
            arrays[name], arrays[f"{name} pixels"] = compute(
                source, pixels, asked["input_ids"], states
            )
        except Exception as error:
            if stored is None:
                raise
            failed[name] = f"{type(error).__name__}: {error}"
    np.savez(answer, failed=json.dumps(failed), **arrays)


@torch.no_grad()
def compute(
    source: dict[str, Any], pixels: torch.Tensor | None, input_ids: list[Any], states: torch.Tensor
) -> tuple[Any, Any]:
    """Return the output of a model, and its images.

    Args:
        source: the `role`, the `config` and the `directory` of the model.
        pixels: the images; None creates images and a new model.
        input_ids: the tokens of a decoder.
        states: the encoder's states of a decoder.
    """
    settings, directory = source["config"], Path(source["directory"])
    config = CONFIG_MAPPING[settings["model_type"]].from_dict(dict(settings))
    config._attn_implementation = "eager"
    config.return_dict = True  # with False, models of transformers 5 fail
    is_encoder = source["role"] == "encoder"
    if not is_encoder:
        config.is_decoder = config.add_cross_attention = True
    auto_class = AutoModel if is_encoder else AutoModelForCausalLM
    if pixels is None:
        torch.manual_seed(0)
        pixels = new_pixels(settings)
        model = new_model(auto_class, config, directory)
        # The class may have changed some settings.
        (directory / "config.json").write_text(json.dumps(settings))
    else:
        model = auto_class.from_pretrained(directory, config=config, dtype=torch.float32)
    inputs: dict[str, Any] = {"pixel_values": pixels}
    if not is_encoder:
        inputs = {"input_ids": torch.tensor(input_ids), "encoder_hidden_states": states}
    output = model.eval()(**inputs, return_dict=True)
    found = output.last_hidden_state if is_encoder else output.logits
    return found.numpy(), pixels.numpy()


def new_pixels(settings: dict[str, Any]) -> torch.Tensor:
    """Return two images of the size in a config."""
    size = settings.get("image_size")
    height, width = size if isinstance(size, list) else (16, 16)
    return torch.randn(2, settings.get("num_channels", 3), height, width)


def new_model(auto_class: Any, config: Any, directory: Path) -> Any:
    """Return a new model with large parameters, and write it to a directory."""
    model = auto_class.from_config(config)
    for parameter in model.parameters():
        if parameter.requires_grad:  # not the sinusoids of PEGASUS
            parameter.normal_(std=0.25)
    model.save_pretrained(directory)
    return model


if __name__ == "__main__":
    main(*sys.argv[1:])

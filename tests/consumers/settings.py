"""Create checkpoints of single models from configs and compute their outputs, without VED.

usage: settings.py REQUEST.json ANSWER.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForCausalLM


def main(request: str, answer: str) -> None:
    """Write a checkpoint for every config, and an array with the output of each model."""
    asked = json.loads(Path(request).read_text())
    states = torch.tensor(np.load(asked["encoder_hidden_states"]))
    arrays = {}
    for name, source in asked["sources"].items():
        torch.manual_seed(0)
        settings = source["config"]
        size = settings.get("image_size")
        height, width = size if isinstance(size, list) else (16, 16)
        pixel_values = torch.randn(2, settings.get("num_channels", 3), height, width)
        arrays[f"{name} pixels"] = pixel_values.numpy()
        config = CONFIG_MAPPING[settings["model_type"]].from_dict(dict(settings))
        config._attn_implementation = "eager"
        if source["role"] == "encoder":
            model = AutoModel.from_config(config)
            inputs = {"pixel_values": pixel_values}
        else:
            config.is_decoder = config.add_cross_attention = True
            model = AutoModelForCausalLM.from_config(config)
            ids = torch.tensor(asked["input_ids"])
            inputs = {"input_ids": ids, "encoder_hidden_states": states}
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:  # not the sinusoids of PEGASUS
                    parameter.normal_(std=0.25)
            output = model.eval()(**inputs, return_dict=True)
        first = "last_hidden_state" if source["role"] == "encoder" else "logits"
        arrays[name] = getattr(output, first).numpy()
        directory = Path(source["directory"])
        model.save_pretrained(directory)
        # The class may have changed some settings.
        (directory / "config.json").write_text(json.dumps(settings))
    np.savez(answer, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Create encoders and compute the states of images of other sizes, without VED.

usage: sizes.py REQUEST.json ANSWER.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import CONFIG_MAPPING, AutoModel


@torch.no_grad()
def main(request: str, answer: str) -> None:
    """Write a checkpoint for every config, and the states for an image of the asked size."""
    asked = json.loads(Path(request).read_text())
    arrays = {}
    for name, each in asked["encoders"].items():
        torch.manual_seed(0)
        settings = dict(each["config"])
        model = AutoModel.from_config(CONFIG_MAPPING[settings["model_type"]].from_dict(settings))
        for parameter in model.parameters():
            parameter.normal_(std=0.25)
        model.save_pretrained(each["directory"])
        pixels = torch.randn(2, 3, *each["size"])
        output = model.eval()(pixels, **each["arguments"])
        arrays[f"{name} pixels"], arrays[name] = pixels.numpy(), output.last_hidden_state.numpy()
    np.savez(answer, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

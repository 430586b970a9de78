"""Create encoders, and compute states and gradients for images of other sizes, without VED.

usage: sizes.py REQUEST.json ANSWER.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import CONFIG_MAPPING, AutoModel


def main(request: str, answer: str) -> None:
    """Write a checkpoint for every config, and the states for an image of the asked size.

    The gradients are those of the mean of the squared states.
    """
    asked = json.loads(Path(request).read_text())
    arrays = {}
    for name, each in asked["encoders"].items():
        torch.manual_seed(0)
        settings = dict(each["config"])
        model = AutoModel.from_config(CONFIG_MAPPING[settings["model_type"]].from_dict(settings))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.25)
        model.save_pretrained(each["directory"])
        pixels = torch.randn(2, 3, *each["size"])
        output = model.eval()(pixels, **each["arguments"])
        states = output.last_hidden_state
        arrays[f"{name} pixels"], arrays[name] = pixels.numpy(), states.detach().numpy()
        if each["gradients"]:
            states.square().mean().backward()
            gradients = {key: one.grad for key, one in model.named_parameters()}
            arrays |= {
                f"{name} gradient {key}": one.numpy()
                for key, one in gradients.items()
                if one is not None
            }
    np.savez(answer, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

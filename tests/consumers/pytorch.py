"""Load checkpoints with PyTorch and compute logits, in an environment without VED.

usage: pytorch.py REQUEST.json ANSWER.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import VisionEncoderDecoderModel


def main(request: str, answer: str) -> None:
    """Write the logits of every model, and the keys that did not fit."""
    asked = json.loads(Path(request).read_text())
    arrays = {}
    report = {}
    for name, directory in asked["checkpoints"].items():
        model, info = VisionEncoderDecoderModel.from_pretrained(
            directory, output_loading_info=True, dtype=torch.float32
        )
        report[name] = {key: sorted(map(str, info[key])) for key in asked["reported"]}
        pixel_values = torch.tensor(np.load(asked["pixel_values"][name]))
        decoder_input_ids = torch.tensor(asked["decoder_input_ids"])
        with torch.no_grad():
            output = model.eval()(pixel_values=pixel_values, decoder_input_ids=decoder_input_ids)
        arrays[name] = output.logits.numpy()
    np.savez(answer, report=json.dumps(report), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Compare the decoders of checkpoints with their sources in PyTorch, in an environment without VED.

usage: heads.py REQUEST.json ANSWER.npz

The request has a checkpoint and the source of its decoder for each label. The answer has two arrays
for each label: `LABEL/difference`, of the logits of both decoders without an image, and
`LABEL/logits`, of the whole checkpoint for `pixel_values` of zero. `report` has the keys that did
not fit, as JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, VisionEncoderDecoderModel

REPORTED = ("missing_keys", "unexpected_keys", "mismatched_keys")


@torch.no_grad()
def main(request: str, answer: str) -> None:
    """Write the logits and the report."""
    asked = json.loads(Path(request).read_text())
    input_ids = torch.tensor(asked["input_ids"])
    arrays, report = {}, {}
    for label, (checkpoint, source) in asked["checkpoints"].items():
        model, info = VisionEncoderDecoderModel.from_pretrained(
            checkpoint, output_loading_info=True, dtype=torch.float32
        )
        report[label] = sorted(str(key) for kind in REPORTED for key in info[kind])
        config = AutoConfig.from_pretrained(source)
        config.is_decoder = True
        alone = AutoModelForCausalLM.from_pretrained(source, config=config, dtype=torch.float32)
        ours = model.eval().decoder(input_ids=input_ids).logits
        difference = ours - alone.eval()(input_ids=input_ids).logits
        arrays[f"{label}/difference"] = difference.numpy()
        pixel_values = torch.zeros(1, *asked["image_shape"])
        output = model(pixel_values=pixel_values, decoder_input_ids=input_ids)
        arrays[f"{label}/logits"] = output.logits.numpy()
    np.savez(answer, report=json.dumps(report), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

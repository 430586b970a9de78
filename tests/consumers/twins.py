"""Compare halves of checkpoints with their sources in PyTorch, in an environment without VED.

usage: twins.py REQUEST.json ANSWER.npz

The request has a checkpoint, the directory of a source and the role of the half for each label. The
answer has the largest difference of the outputs of both for each label: the last hidden states of
an encoder, and the logits of a decoder as a masked language model, which no causal mask limits.
`report` has the keys that did not fit, as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoModelForMaskedLM, VisionEncoderDecoderModel

REPORTED = ("missing_keys", "unexpected_keys", "mismatched_keys")
# transformers 4.57 lacks other attention in some families, and the last bits depend on it.
EXACT = {"dtype": torch.float32, "attn_implementation": "eager"}
IDS = [[0, 5, 17, 42, 9, 200]]


def states(model: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """Return the last hidden states of an encoder: float32 (1, tokens, width)."""
    if model.config.model_type != "vit_mae":
        return model(pixel_values=pixel_values).last_hidden_state
    # Noise in this order keeps all patches in their order.
    model.config.mask_ratio = 0.0
    patches = model.embeddings.patch_embeddings.num_patches
    noise = torch.arange(patches, dtype=torch.float32)[None]
    return model(pixel_values=pixel_values, noise=noise).last_hidden_state


def unmasked(decoder: Any) -> Any:
    """Return a masked language model with the parameters of a decoder."""
    config = type(decoder.config).from_dict(decoder.config.to_dict())
    config.is_decoder = config.add_cross_attention = False
    model = AutoModelForMaskedLM.from_config(config, attn_implementation="eager")
    model.load_state_dict(decoder.state_dict(), strict=False)
    return model.eval()


@torch.no_grad()
def main(request: str, answer: str) -> None:
    """Write the differences and the report."""
    torch.set_num_threads(1)  # more threads are slower with such small tensors
    arrays, report = {}, {}
    for label, (checkpoint, source, role) in json.loads(Path(request).read_text()).items():
        whole, info = VisionEncoderDecoderModel.from_pretrained(
            checkpoint, output_loading_info=True, **EXACT
        )
        report[label] = sorted(str(key) for kind in REPORTED for key in info[kind])
        torch.manual_seed(0)
        size = whole.config.encoder.image_size
        if role == "encoder":
            pixels = torch.randn(1, 3, size, size)
            alone = AutoModel.from_pretrained(source, **EXACT).eval()
            found, expected = states(whole.eval().encoder, pixels), states(alone, pixels)
        else:
            ids = torch.tensor(IDS)
            alone, info = AutoModelForMaskedLM.from_pretrained(
                source, output_loading_info=True, **EXACT
            )
            report[label] += sorted(map(str, info["missing_keys"]))
            found, expected = unmasked(whole.decoder)(ids).logits, alone.eval()(ids).logits
        assert expected.std() > 0
        arrays[label] = (found - expected).abs().max().numpy()
    np.savez(answer, report=json.dumps(report), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

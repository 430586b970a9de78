"""Change logits by the rules of PyTorch's `generate`, in an environment without VED.

usage: rules.py REQUEST.json ANSWER.npz

The request has `cases` by label, each with `settings` of `GenerationConfig`, `prompt_length` and
`length`; and `inputs`, an npz file with `tokens`, `mask` and `logits`. The answer has logits.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import GenerationConfig
from transformers.generation import GenerationMixin


def main(request: str, answer: str) -> None:
    asked = json.loads(Path(request).read_text())
    with np.load(asked["inputs"]) as file:
        inputs = {name: torch.tensor(file[name]) for name in file.files}
    model = SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=True))
    model._merge_criteria_processor_list = lambda default, custom: default
    arrays = {}
    for label, case in asked["cases"].items():
        config = GenerationConfig(**GenerationConfig._get_default_generation_params())
        config.update(**case["settings"])
        ends = config.eos_token_id
        ends = [ends] if isinstance(ends, int) else ends
        config._eos_token_tensor = None if ends is None else torch.tensor(ends)
        processors = GenerationMixin._get_logits_processor(
            model,
            config,
            input_ids_seq_length=case["prompt_length"],
            model_kwargs={"decoder_attention_mask": inputs["mask"]},
        )
        tokens = inputs["tokens"][:, : case["length"]]
        arrays[label] = processors(tokens, inputs["logits"].clone()).numpy()
    np.savez(answer, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

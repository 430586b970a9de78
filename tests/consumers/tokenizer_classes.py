"""Describe tokenizers as the classes of transformers 4.57 set them up.

usage: tokenizer_classes.py REQUEST.json ANSWER.npz

The request has `tokenizers`: by label, the name of a class without `Fast` and a directory. The
answer has, as JSON, the description of each.
"""

import json
import sys
from pathlib import Path

import numpy as np
import transformers

NAMED = (
    *("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
)
SETTINGS = (
    "clean_up_tokenization_spaces",
    "model_input_names",
    "padding_side",
    "truncation_side",
)


def describe(name: str, directory: str) -> dict:
    """Return all that VED publishes of a tokenizer."""
    found = getattr(transformers, f"{name}Fast").from_pretrained(directory)
    special = found.special_tokens_map
    return {
        "backend": json.loads(found.backend_tokenizer.to_str()),
        "named": {each: special[each] for each in NAMED if each in special},
        "additional": special.get("additional_special_tokens", []),
        "settings": {each: getattr(found, each) for each in SETTINGS},
        "empty": found("").input_ids,
    }


def main(request: str, answer: str) -> None:
    """Describe each tokenizer of the request."""
    asked = json.loads(Path(request).read_text())["tokenizers"]
    found = {label: describe(*each) for label, each in asked.items()}
    np.savez(answer, found=json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Encode texts and process images, in an environment without VED and without a network.

usage: processing.py REQUEST.json ANSWER.npz

The request has `texts`, the `images` (an npz file), the directories with a `tokenizers` and with
an `image_processors` by label, and a directory of Python `packages`. The answer has the ids of the
texts as JSON, with the offsets of fast tokenizers, and the pixels of each image, by label.
"""

import json
import sys
from pathlib import Path

import numpy as np
import transformers
from transformers import AutoImageProcessor, AutoTokenizer

SLOW = {"backend": "pil"} if transformers.__version__ >= "5" else {"use_fast": False}


def main(request: str, answer: str) -> None:
    """Load everything with the Auto classes."""
    asked = json.loads(Path(request).read_text())
    sys.path.append(asked["packages"])
    encoded, arrays = {}, {}
    for label, directory in asked["tokenizers"].items():
        tokenizer = AutoTokenizer.from_pretrained(directory)
        found = tokenizer(asked["texts"], return_offsets_mapping=tokenizer.is_fast)
        encoded[label] = {
            "ids": found["input_ids"],
            "offsets": found["offset_mapping"] if tokenizer.is_fast else None,
            "decoded": tokenizer.batch_decode(found["input_ids"]),
            "plain": tokenizer.batch_decode(found["input_ids"][:100], skip_special_tokens=True),
            "names": tokenizer.model_input_names,
            "pad": tokenizer.pad_token_id,
            "eos": tokenizer.eos_token_id,
            "max_length": tokenizer.model_max_length,
            "special": tokenizer.all_special_ids,
            "vocabulary": tokenizer.get_vocab(),
        }
    with np.load(asked["images"]) as file:
        images = {name: file[name] for name in file.files}
    for label, directory in asked["image_processors"].items():
        processor = AutoImageProcessor.from_pretrained(directory, **SLOW)
        for name, image in images.items():
            try:
                pixels = processor(image, return_tensors="np").pixel_values
            except (ZeroDivisionError, ValueError):  # Donut's class fails with very narrow images
                pixels = []
            arrays[f"{label} {name}"] = np.asarray(pixels)
    np.savez(answer, encoded=json.dumps(encoded), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

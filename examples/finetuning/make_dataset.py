"""Make a dataset of images with texts, without downloads.

    python make_dataset.py digits DIRECTORY
    python make_dataset.py lines DIRECTORY

digits are handwritten digits, which scikit-learn ships, with captions. lines are printed lines in
three scripts, in the fonts of the packages font-source-sans-pro and font-source-serif-pro.

The directory has the splits train, validation and test, in the layout of `datasets`: images, and a
metadata.jsonl with a text for each one.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Examples: TypeAlias = Iterable[tuple[Image.Image, str]]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SCRIPTS = (
    ("cat", "dog", "bird", "fish", "tree", "moon", "star", "rain", "snow", "wind"),
    ("γάτα", "σκύλος", "πουλί", "ψάρι", "δέντρο", "ήλιος", "άστρο", "βροχή", "χιόνι", "νερό"),
    ("кот", "пёс", "птица", "рыба", "лес", "луна", "звезда", "дождь", "снег", "вода"),
)
FONTS = (
    ("font_source_sans_pro", "SourceSansPro-Regular.ttf"),
    ("font_source_sans_pro", "SourceSansPro-Bold.ttf"),
    ("font_source_serif_pro", "SourceSerifPro-Regular.ttf"),
    ("font_source_serif_pro", "SourceSerifPro-Bold.ttf"),
)
SIZES = (11, 12, 13)  # of fonts, in pixels


def make_digits() -> dict[str, Examples]:
    """Return the splits of 1797 digits of 8 x 8 pixels, which 43 people have written."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = (255 - digits.images * 255 / 16).astype(np.uint8)  # the images have 16 for ink
    examples = [
        (Image.fromarray(image), f"a handwritten {DIGITS[digit]}")
        for image, digit in zip(pixels, digits.target, strict=True)
    ]
    order = np.random.default_rng(0).permutation(len(examples))
    examples = [examples[number] for number in order]
    return {"test": examples[:300], "validation": examples[300:500], "train": examples[500:]}


def make_lines() -> dict[str, Examples]:
    """Return the splits of lines of two words. No split has a pair of words of another one."""
    random = np.random.default_rng(0)
    pairs = [" ".join(pair) for words in SCRIPTS for pair in product(words, repeat=2)]
    pairs = random.permutation(pairs).tolist()
    texts = {"test": pairs[:30], "validation": pairs[30:60], "train": pairs[60:]}
    return {split: draw_lines(texts[split], random) for split in texts}


def draw_lines(
    texts: Iterable[str], random: np.random.Generator
) -> Iterator[tuple[Image.Image, str]]:
    """Yield an image of each text, in each font and at each size."""
    for text, (package, name), size in product(texts, FONTS, SIZES):
        image = Image.new("L", (96, 16), 255)
        left, top = random.integers(0, 3, 2)
        font = ImageFont.truetype(str(files(package) / "files" / name), size)
        ImageDraw.Draw(image).text((left, top - 2), text, 0, font)
        yield image, text


def write_split(directory: Path, examples: Examples) -> None:
    """Write images as PNG files, and their texts into metadata.jsonl."""
    directory.mkdir(parents=True)
    with (directory / "metadata.jsonl").open("w", encoding="utf-8") as metadata:
        for number, (image, text) in enumerate(examples):
            name = f"{number:05d}.png"
            image.save(directory / name)
            line = json.dumps({"file_name": name, "text": text}, ensure_ascii=False)
            metadata.write(f"{line}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make a dataset of images with texts.")
    parser.add_argument("kind", choices=("digits", "lines"))
    parser.add_argument("directory", type=Path)
    args = parser.parse_args()
    splits = make_digits() if args.kind == "digits" else make_lines()
    for split, examples in splits.items():
        write_split(args.directory / split, examples)

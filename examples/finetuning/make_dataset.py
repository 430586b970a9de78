"""Make a dataset of images with texts, without downloads.

    python make_dataset.py digits DIRECTORY
    python make_dataset.py lines DIRECTORY

digits are handwritten digits, which scikit-learn ships, with captions. lines are lines of two
printed letters of three scripts, in fonts of the packages font-source-sans-pro and
font-source-serif-pro.

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
LETTERS = "abdehnrt" + "βγδλπσφψ" + "бджзилця"
FONTS = (
    "font_source_sans_pro/SourceSansPro-Regular",
    "font_source_sans_pro/SourceSansPro-Bold",
    "font_source_serif_pro/SourceSerifPro-Regular",
    "font_source_serif_pro/SourceSerifPro-Bold",
)
SIZES = (10, 12)  # of fonts, in pixels
SIDE = 16  # of an image, in pixels


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
    """Return the splits of lines of two letters. No split has a text of another one."""
    random = np.random.default_rng(0)
    texts = ["".join(pair) for pair in product(LETTERS, repeat=2)]
    texts = random.permutation(texts).tolist()
    parts = {"test": texts[:40], "validation": texts[40:80], "train": texts[80:]}
    return {split: draw_lines(parts[split], random) for split in parts}


def draw_lines(
    texts: Iterable[str], random: np.random.Generator
) -> Iterator[tuple[Image.Image, str]]:
    """Yield an image of each text, in each font and at each size."""
    for path, size in product(FONTS, SIZES):
        package, name = path.split("/")
        font = ImageFont.truetype(str(files(package) / "files" / f"{name}.ttf"), size)
        for text in texts:
            image = Image.new("L", (SIDE, SIDE), 255)
            x, y = random.uniform(SIDE / 2 - 1, SIDE / 2 + 1, 2)
            ImageDraw.Draw(image).text((float(x), float(y)), text, 0, font, anchor="mm")
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

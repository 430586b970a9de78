"""Make a dataset of images with texts, without downloads.

    python make_dataset.py digits DIRECTORY
    python make_dataset.py lines DIRECTORY

digits are handwritten digits, which scikit-learn ships, with captions. lines are printed lines of
one to six letters of three scripts, in fonts of the packages font-source-sans-pro and
font-source-serif-pro. Lines to validate and test have three letters or more, and are not in train.

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
SCRIPTS = ("abdehnrt", "βγδλπσφψ", "бджзилця")
FONTS = (
    "font_source_sans_pro/SourceSansPro-Regular",
    "font_source_sans_pro/SourceSansPro-Bold",
    "font_source_serif_pro/SourceSerifPro-Regular",
    "font_source_serif_pro/SourceSerifPro-Bold",
)
FONT_SIZES = (9, 11)  # in pixels
MOST_LETTERS = 6  # of a line
CELL = 8  # width of each letter in a line, in pixels, as on a typewriter
HEIGHT = 16  # of a line, in pixels


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
    """Return the splits of lines. Short lines in train are easy, and teach the first letters."""
    random = np.random.default_rng(0)
    held_out = list(dict.fromkeys(random_text(random, 3) for _ in range(500)))
    texts = (random_text(random, 1) for _ in range(16_000))
    train = [text for text in texts if text not in held_out]
    splits = {"test": held_out[:300], "validation": held_out[300:], "train": train}
    return {split: draw_lines(texts, random) for split, texts in splits.items()}


def random_text(random: np.random.Generator, shortest: int) -> str:
    """Return letters of one script, from the shortest length to the longest one."""
    letters = SCRIPTS[random.integers(len(SCRIPTS))]
    length = random.integers(shortest, MOST_LETTERS + 1)
    return "".join(letters[number] for number in random.integers(len(letters), size=length))


def draw_lines(
    texts: Iterable[str], random: np.random.Generator
) -> Iterator[tuple[Image.Image, str]]:
    """Yield an image of each text, in a random font and size."""
    fonts = []
    for path, size in product(FONTS, FONT_SIZES):
        package, name = path.split("/")
        file = files(package) / "files" / f"{name}.ttf"
        fonts.append(ImageFont.truetype(str(file), size))
    for text in texts:
        image = Image.new("L", (CELL * MOST_LETTERS, HEIGHT), 255)
        font = fonts[random.integers(len(fonts))]
        x, y = random.uniform(-1, 1, 2).tolist()
        for number, letter in enumerate(text):
            middle = (CELL * (number + 0.5) + x, HEIGHT / 2 + 3 + y)  # of the baseline
            ImageDraw.Draw(image).text(middle, letter, 0, font, anchor="ms")
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

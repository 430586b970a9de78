"""The picture of a card: true of the checkpoint, for light and dark, and without foreign parts."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from huggingface_hub import HfApi

from tests import checkpoints
from tests.support.building import source
from tests.support.publishing import manifest, markdown, pair
from ved.execution.checkpoint_dir import build_checkpoint
from ved.manifest.settings import CheckpointSettings
from ved.record import BuildRecord, card, picture

SVG = "{http://www.w3.org/2000/svg}"


def built(encoder: Path, decoder: Path, directory: Path) -> BuildRecord:
    (entry,) = manifest(pair("owner/name", weights="safetensors")).pairs
    directory.mkdir()
    sources = source("encoder", encoder), source("decoder", decoder)
    settings = CheckpointSettings.of(entry)
    return build_checkpoint(*sources, directory, HfApi(), settings, entry).record


def parts_of(svg: str) -> dict[str, list[str]]:
    """Return the texts of a picture by the class of the box before them."""
    found: dict[str, list[str]] = {}
    box = ""
    for element in ElementTree.fromstring(svg).iter():
        if element.tag == f"{SVG}rect":
            box = element.get("class", "")
        elif element.tag == f"{SVG}text":
            found.setdefault(box, []).append("".join(element.itertext()))
    return found


def wide_vit(directory: Path) -> Path:
    return checkpoints.vit(directory, hidden_size=48)


@pytest.mark.parametrize(
    ("encoder", "decoder", "new"),
    [
        (checkpoints.vit, checkpoints.gpt2, {"cross-attention"}),
        (wide_vit, checkpoints.distilbert, {"cross-attention", "projection"}),
        (checkpoints.vit, checkpoints.bart, set()),
    ],
)
def test_picture_tells_which_parts_are_new(
    encoder: Callable[[Path], Path],
    decoder: Callable[[Path], Path],
    new: set[str],
    tmp_path: Path,
) -> None:
    record = built(encoder(tmp_path / "a"), decoder(tmp_path / "b"), tmp_path / "c")
    svg = (tmp_path / "c" / picture.FILE_NAME).read_text("utf-8")
    parts = parts_of(svg)
    names = {"self-attention", "cross-attention", "feed-forward", "projection"}
    assert names & {*parts.get("new", ())} == new
    assert names - {"projection"} - new <= {*parts["copied"]}
    assert {"vit", f"text decoder {record.sources['decoder'].published_family}"} <= {
        text for texts in parts.values() for text in texts
    }
    # Only what is new has a number of new parameters, and a line in the legend.
    assert ("new" in parts) == bool(new)
    count = f"{record.ledger['decoder'].summary.num_initialized:,} new"
    assert (count in svg) == bool(new)
    assert picture.FILE_NAME in record.files

    (image,) = [
        token
        for token in markdown((tmp_path / "c" / card.FILE_NAME).read_text())
        if token.type == "image"
    ]
    assert image.attrGet("src") == picture.FILE_NAME
    assert image.content == picture.describe_picture(record)
    for name in ("cross-attention", "projection"):
        assert (name in image.content) == (name in new)


def test_picture_needs_nothing_from_elsewhere_and_has_both_themes(tmp_path: Path) -> None:
    vit, gpt2 = checkpoints.vit(tmp_path / "a"), checkpoints.gpt2(tmp_path / "b")
    svg = picture.render_picture(built(vit, gpt2, tmp_path / "c"))
    root = ElementTree.fromstring(svg)
    assert not [each for each in root.iter() if {"href", "src"} & {*each.attrib}]
    assert not re.findall(r"url\((?!#)|@import|<script", svg)
    # A page may be dark on a system that is light, so the picture brings its background.
    width, height = root.get("width"), root.get("height")
    background = root.find(f"{SVG}rect[@class='page']")
    assert background is not None
    assert (background.get("width"), background.get("height")) == (width, height)
    light, dark = svg.split("(prefers-color-scheme: dark)")
    classes = [{*re.findall(r"\.([a-z]+) \{[^}]*#", each)} for each in (light, dark)]
    assert classes[0] == classes[1]

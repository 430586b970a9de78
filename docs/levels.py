"""The kinds of mappings that a manifest is made of, for its reference: what no type can say."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One kind of mapping in a manifest.

    Attributes:
        heading: of its section.
        noun: what a value of it is called, in the singular.
        text: what there is to know of it, in Markdown.
        example: a manifest that has one, as small as it can be.
        alike: the level that explains the keys that both have.
    """

    heading: str
    noun: str
    text: str
    example: str
    alike: str = ""

    @property
    def anchor(self) -> str:
        """The anchor that GitHub gives the heading."""
        return self.heading.lower().replace(" ", "-").replace("'", "")


LEVELS: Mapping[str, Level] = {
    "File": Level(
        "The file",
        "manifest",
        "`pairs`, `grid` or both have to be there.",
        "pairs:\n"
        "  - repo: my-org/vit-gpt2\n"
        "    encoder: google/vit-base-patch16-224-in21k\n"
        "    decoder: openai-community/gpt2\n",
    ),
    "Pair": Level(
        "A pair",
        "pair",
        "One checkpoint to publish, and what it is made of.",
        "namespace: my-org\n"
        "pairs:\n"
        "  - repo: vit-gpt2 # my-org/vit-gpt2\n"
        "    encoder: google/vit-base-patch16-224-in21k\n"
        "    decoder: openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e\n"
        "    license: apache-2.0\n",
    ),
    "Defaults": Level(
        "Defaults",
        "mapping",
        "What holds for every pair and every cell of a grid that does not say otherwise. A value of"
        " a pair or a grid replaces the default; lists are not joined.",
        "namespace: my-org\n"
        "defaults: {private: true, tags: [captioning]}\n"
        "pairs:\n"
        "  - repo: vit-gpt2\n"
        "    encoder: google/vit-base-patch16-224-in21k\n"
        "    decoder: openai-community/gpt2\n"
        "    tags: [reading] # and not captioning\n",
        alike="Pair",
    ),
    "SourceRef": Level(
        "A source",
        "source",
        "Where an encoder or a decoder comes from. The short form is one text: a repo id, a repo id"
        " with `@` and a revision, or a local directory. A repo is pinned to the commit that its"
        " revision has when a run begins; of a local directory the files' digests count. A repo"
        " that has neither safetensors nor Flax weights is refused unless `allow_pickle` says that"
        " its pickle may be read; even then nothing in it is run.",
        "namespace: my-org\n"
        "pairs:\n"
        "  - repo: vit-gpt2\n"
        "    encoder: {model: google/vit-base-patch16-224-in21k, revision: main}\n"
        "    decoder: ./my-gpt2 # a directory beside the manifest\n",
    ),
    "ConfigRef": Level(
        "Another config",
        "config",
        "Where a source's config comes from, if not from beside its weights. It has the same short"
        " form.",
        "namespace: my-org\n"
        "pairs:\n"
        "  - repo: beit-gpt2\n"
        "    encoder: {model: microsoft/beit-base-patch16-224-pt22k-ft22k, config: my-org/beit}\n"
        "    decoder: openai-community/gpt2\n",
    ),
    "TokenIds": Level(
        "Token ids",
        "mapping",
        "An id that is left out comes from the decoder's config, or where that has none from its"
        " tokenizer. Ids count from 0 and are rows of the decoder's embedding.",
        "namespace: my-org\n"
        "pairs:\n"
        "  - repo: vit-bert\n"
        "    encoder: google/vit-base-patch16-224-in21k\n"
        "    decoder: google-bert/bert-base-uncased\n"
        "    token_ids: {decoder_start: 101, pad: 0, eos: 102}\n",
    ),
    "Grid": Level(
        "A grid",
        "grid",
        "Every encoder with every decoder. One encoder with one decoder is a cell, and becomes a"
        " pair.",
        "namespace: my-org\n"
        "grid:\n"
        "  encoders: [google/vit-base-patch16-224-in21k, facebook/dinov2-base]\n"
        "  decoders: [openai-community/gpt2, google-bert/bert-base-uncased]\n"
        "  license: apache-2.0\n",
        alike="Pair",
    ),
    "Selector": Level(
        "Cells to leave out",
        "selection",
        "An entry of `exclude` holds for every cell that matches all that it names: an encoder, a"
        " decoder or both.",
        "namespace: my-org\n"
        "grid:\n"
        "  encoders: [google/vit-base-patch16-224-in21k, facebook/dinov2-base]\n"
        "  decoders: [openai-community/gpt2, google-bert/bert-base-uncased]\n"
        "  exclude: [{encoder: facebook/dinov2-base, decoder: openai-community/gpt2}]\n",
    ),
    "SourceName": Level(
        "A source's name",
        "source's name",
        "How `exclude` and `overrides` call a source of the grid. The short form is one text, with"
        " `@` and the revision where there is one.",
        "namespace: my-org\n"
        "grid:\n"
        "  encoders: [google/vit-base-patch16-224-in21k@main, facebook/dinov2-base]\n"
        "  decoders: [openai-community/gpt2]\n"
        "  exclude: [{encoder: {model: google/vit-base-patch16-224-in21k, revision: main}}]\n",
    ),
    "Override": Level(
        "What differs for some cells",
        "override",
        "An entry of `overrides` selects cells as one of `exclude` does, and says what holds for"
        " them in place of the grid's own keys.",
        "namespace: my-org\n"
        "grid:\n"
        "  encoders: [google/vit-base-patch16-224-in21k, facebook/dinov2-base]\n"
        "  decoders: [openai-community/gpt2]\n"
        "  overrides: [{encoder: facebook/dinov2-base, repo: dino-gpt2, seed: 1}]\n",
        alike="Pair",
    ),
}
"""By the type that ved/manifest_types.py has for it."""

"""The sections of docs/manifest.md: one for each kind of mapping in a manifest."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One kind of mapping in a manifest.

    Attributes:
        heading: the heading of its section.
        noun: the name of one such mapping, in the singular.
        text: what the types cannot say, in Markdown.
        example: a small manifest that contains such a mapping.
        alike: the level whose section explains the keys that both have.
    """

    heading: str
    noun: str
    text: str
    example: str
    alike: str = ""

    @property
    def anchor(self) -> str:
        """The anchor that GitHub gives to the heading."""
        return self.heading.lower().replace(" ", "-").replace("'", "")


LEVELS: Mapping[str, Level] = {
    "File": Level(
        "The file",
        "manifest",
        "A manifest needs `pairs`, `grid` or both.",
        "pairs:\n"
        "  - repo: my-org/vit-gpt2\n"
        "    encoder: google/vit-base-patch16-224-in21k\n"
        "    decoder: openai-community/gpt2\n",
    ),
    "Pair": Level(
        "A pair",
        "pair",
        "One checkpoint to publish, with its two sources."
        " [Weight files](runs.md#weight-files) compares the values of `weights`.",
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
        "Values for every pair and every cell of a grid. The own value of a pair or a grid replaces"
        " the default. Lists are replaced, not joined.",
        "namespace: my-org\n"
        "defaults: {private: true, tags: [captioning]}\n"
        "pairs:\n"
        "  - repo: vit-gpt2\n"
        "    encoder: google/vit-base-patch16-224-in21k\n"
        "    decoder: openai-community/gpt2\n"
        "    tags: [reading] # without captioning\n",
        alike="Pair",
    ),
    "SourceRef": Level(
        "A source",
        "source",
        "The pretrained checkpoint for an encoder or a decoder. The short form is one text: a repo"
        " id, a repo id with `@` and a revision, or a local directory.\n"
        "\n"
        "When a run begins, VED pins each repo to the current commit of its revision. Local"
        " directories are identified by the digests of their files.\n"
        "\n"
        "VED reads safetensors and Flax weights. If a repo has both, VED reads the safetensors,"
        " unless the source sets `weights_from: flax`. It refuses a repo that has only pickled"
        " weights, unless the source sets `allow_pickle: true`. VED reads the tensors of a pickle"
        " and never runs its code.",
        "namespace: my-org\n"
        "pairs:\n"
        "  - repo: vit-gpt2\n"
        "    encoder: {model: google/vit-base-patch16-224-in21k, revision: main}\n"
        "    decoder: ./my-gpt2 # a directory beside the manifest\n",
    ),
    "ConfigRef": Level(
        "Another config",
        "config",
        "A repo or a local directory whose `config.json` replaces the source's own. It has the same"
        " short form as a source.",
        "namespace: my-org\n"
        "pairs:\n"
        "  - repo: beit-gpt2\n"
        "    encoder: {model: microsoft/beit-base-patch16-224-pt22k-ft22k, config: my-org/beit}\n"
        "    decoder: openai-community/gpt2\n",
    ),
    "TokenIds": Level(
        "Token ids",
        "mapping",
        "An omitted id comes from the decoder's config, or else from its tokenizer. Ids begin at 0,"
        " and each is a row of the decoder's embedding.",
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
        "Every encoder with every decoder. One encoder with one decoder is a cell, and each cell is"
        " a pair.",
        "namespace: my-org\n"
        "grid:\n"
        "  encoders: [google/vit-base-patch16-224-in21k, facebook/dinov2-base]\n"
        "  decoders: [openai-community/gpt2, google-bert/bert-base-uncased]\n"
        "  license: apache-2.0\n",
        alike="Pair",
    ),
    "Selector": Level(
        "Cells to omit",
        "selection",
        "An entry of `exclude` names an encoder, a decoder or both. It omits all cells that have"
        " them.",
        "namespace: my-org\n"
        "grid:\n"
        "  encoders: [google/vit-base-patch16-224-in21k, facebook/dinov2-base]\n"
        "  decoders: [openai-community/gpt2, google-bert/bert-base-uncased]\n"
        "  exclude: [{encoder: facebook/dinov2-base, decoder: openai-community/gpt2}]\n",
    ),
    "SourceName": Level(
        "A source's name",
        "source's name",
        "`exclude` and `overrides` name the sources of the grid. The short form is one text: the"
        " model, or the model with `@` and its revision.",
        "namespace: my-org\n"
        "grid:\n"
        "  encoders: [google/vit-base-patch16-224-in21k@main, facebook/dinov2-base]\n"
        "  decoders: [openai-community/gpt2]\n"
        "  exclude: [{encoder: {model: google/vit-base-patch16-224-in21k, revision: main}}]\n",
    ),
    "Override": Level(
        "Other values for some cells",
        "override",
        "An entry of `overrides` selects cells in the same way as an entry of `exclude`. Its other"
        " keys replace the grid's own for these cells.",
        "namespace: my-org\n"
        "grid:\n"
        "  encoders: [google/vit-base-patch16-224-in21k, facebook/dinov2-base]\n"
        "  decoders: [openai-community/gpt2]\n"
        "  overrides: [{encoder: facebook/dinov2-base, repo: dino-gpt2, seed: 1}]\n",
        alike="Pair",
    ),
}
"""The levels, by the name of their model in ved/manifest."""

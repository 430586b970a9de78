"""The models of a pair: sources, defaults, places and settings."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.manifests import load_one, one_pair
from ved.manifest import CheckpointSettings, ConfigRef, Location, SourceRef, TokenIds, loads

EXAMPLE = b"""\
# yaml-language-server: $schema=...
namespace: my-org                      # owner of repos without one
defaults: {private: false, license: apache-2.0}
pairs:
  - repo: vit-gpt2                     # my-org/vit-gpt2
    encoder: google/vit-base-patch16-224-in21k
    decoder: openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e
  - repo: other-org/beit-roberta
    encoder: {model: microsoft/beit-base-patch16-224-pt22k-ft22k, revision: main, config: my-org/beit-config}
    decoder: ./checkpoints/roberta     # a local directory
    token_ids: {decoder_start: 0, pad: 1, eos: 2}
    seed: 0
    tags: [captioning]
"""  # noqa: E501


def test_pairs_of_example() -> None:
    manifest = loads(EXAMPLE, folder=Path("project"))
    first, second = manifest.pairs
    assert manifest.name == "pairs.yaml"
    assert first.repo == "my-org/vit-gpt2"
    assert first.encoder == SourceRef(model="google/vit-base-patch16-224-in21k")
    assert first.encoder.directory is None
    assert first.decoder.model == "openai-community/gpt2"
    assert first.decoder.revision == "607a30d783dfa663caf39e06633721c8d4cfcd7e"
    assert (first.private, first.license) == (False, "apache-2.0")
    assert second.repo == "other-org/beit-roberta"
    assert second.encoder.revision == "main"
    assert second.encoder.config == ConfigRef(model="my-org/beit-config")
    assert second.decoder.directory == Path("project/checkpoints/roberta")
    assert second.token_ids == TokenIds(decoder_start=0, pad=1, eos=2)
    assert second.tags == ("captioning",)


def test_pair_without_optional_keys() -> None:
    pair = load_one()
    assert (pair.private, pair.license, pair.language, pair.tags) == (None, None, (), ())
    assert (pair.token_ids, pair.seed, pair.description) == (TokenIds(), 0, "")
    assert (pair.adopt, pair.overwrite) == (False, False)
    source = pair.encoder
    assert (source.revision, source.config, source.allow_pickle) == (None, None, False)


def test_pair_inherits_the_defaults_that_it_omits() -> None:
    manifest = loads(b"""
namespace: o
defaults: {private: true, license: mit, language: en, tags: [a, b], seed: 7}
pairs:
  - {repo: x, encoder: e, decoder: d}
  - {repo: y, encoder: e, decoder: d, private: false, license: other, language: [], tags: [c], seed: 0}
""")  # noqa: E501
    x, y = manifest.pairs
    assert (x.private, x.license, x.language) == (True, "mit", ("en",))
    assert (x.tags, x.seed) == (("a", "b"), 7)
    assert (y.private, y.license, y.language, y.tags, y.seed) == (False, "other", (), ("c",), 0)


def test_pair_has_its_place_and_the_places_of_its_keys() -> None:
    text = dedent("""\
        defaults:
          license: mit
          seed: 1
        pairs:
          - repo: o/r
            encoder: e/e
            decoder:
              model: d/d
            seed: 2
        """)
    (pair,) = loads(text.encode(), name="a/b.yaml").pairs
    assert pair.where == Location("a/b.yaml", 5, 5)
    assert pair.location("encoder") == Location("a/b.yaml", 6, 14)
    assert pair.location("decoder") == Location("a/b.yaml", 8, 7)
    assert pair.location("seed") == Location("a/b.yaml", 9, 11)
    assert pair.location("license") == Location("a/b.yaml", 2, 12)
    assert pair.location("tags") == pair.where
    assert str(pair.where) == "a/b.yaml:5:5"


@pytest.mark.parametrize(
    ("model", "directory"),
    [
        (".", "folder"),
        ("..", "folder/.."),
        ("./a@b c", "folder/a@b c"),
        ("../a", "folder/../a"),
        ("/a", "/a"),
    ],
)
def test_source_directory_is_relative_to_the_folder(model: str, directory: str) -> None:
    for reference in (model, f"{{model: {model}}}"):
        manifest = loads(one_pair(decoder=reference), folder=Path("folder"))
        assert manifest.pairs[0].decoder.directory == Path(directory)


def test_source_config_has_a_revision_or_is_local() -> None:
    encoder = load_one(encoder="{model: e, config: c/c@v1.0, allow_pickle: true}").encoder
    assert encoder.config == ConfigRef(model="c/c", revision="v1.0")
    assert encoder.allow_pickle
    assert encoder.weights_from is None
    assert load_one(encoder="{model: e, weights_from: flax}").encoder.weights_from == "flax"
    encoder = load_one(encoder="{model: e, config: ./c}").encoder
    assert encoder.config is not None
    assert encoder.config.directory == Path("c")


def test_settings_of_pair() -> None:
    assert CheckpointSettings.of(load_one()) == CheckpointSettings(weights=("safetensors",))
    pair = load_one(
        token_ids="{eos: 3}", seed="5", dtype="float16", weights="[safetensors, flax, flax]"
    )
    assert CheckpointSettings.of(pair) == CheckpointSettings(
        {"eos": 3}, 5, "float16", ("flax", "safetensors")
    )

"""The configs that checkpoints are published with: those of transformers 4.57.

A config has a value for each setting of its class, and config.json has those that differ from the
defaults. Later releases read it, too. Source of all facts: `PretrainedConfig` of transformers 4.57,
and its configuration class for the family.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Settings = Mapping[str, Any]

FORMAT = "4.57.6"
"""The release of transformers whose format the published configs have: `transformers_version`."""

COMMON: Settings = MappingProxyType(
    {
        "_name_or_path": "",
        "add_cross_attention": False,
        "architectures": None,
        "bos_token_id": None,
        "chunk_size_feed_forward": 0,
        "decoder_start_token_id": None,
        "dtype": None,
        "eos_token_id": None,
        "finetuning_task": None,
        "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
        "is_decoder": False,
        "is_encoder_decoder": False,
        "label2id": {"LABEL_0": 0, "LABEL_1": 1},
        "model_type": "",
        "output_attentions": False,
        "output_hidden_states": False,
        "pad_token_id": None,
        "problem_type": None,
        "pruned_heads": {},
        "return_dict": True,
        "sep_token_id": None,
        "tf_legacy_loss": False,
        "tie_encoder_decoder": False,
        "tie_word_embeddings": True,
        "tokenizer_class": None,
        "torchscript": False,
        "transformers_version": FORMAT,
        "use_bfloat16": False,
    }
)
"""The settings of every config with their defaults, besides those of generation."""


@dataclass(frozen=True)
class ConfigClass:
    """The settings of a family's config. Its model has most of them: those are in `ved.modeling`.

    Attributes:
        model_type: what a published config names.
        defaults: the defaults of settings that the model does not have, or has other defaults of.
        names: the config's names of settings that the model calls otherwise, by those names.
        without: settings of the model that the config does not have.
        other_names: further names that a source may have for settings, each with the usual one.
            They take precedence.
        computed: settings that follow from others: functions of all settings, in order.
        num_labels: how many labels a config has that names none.
    """

    model_type: str
    defaults: Settings = field(default_factory=lambda: MappingProxyType({}))
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    without: tuple[str, ...] = ()
    other_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    computed: Mapping[str, Callable[[Settings], Any]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    num_labels: int = 2

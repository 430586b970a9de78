"""The families that are another one under another name: their twins.

A checkpoint of such a family is published with the `model_type` and the names of its twin. Both
compute the same, to the last bit. Source of all facts: transformers 4.57, in the PyTorch and
configuration classes of both families.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ved.families import twin_settings
from ved.families.family import Family, Twin
from ved.families.table import DECODERS, ENCODERS

# Reasons of Family.unused
_DISCRIMINATOR = "a head that tells replaced tokens"
_PRETRAINING = "it restores masked patches, in pretraining only"
_TASK_TYPES = "the source's config does not use it"


def _unused(of: Family, **reasons: str) -> Mapping[str, str]:
    """Return reasons by part of a name, before those of a twin and in place of them."""
    own = {f".{name}.": reason for name, reason in reasons.items()}
    return MappingProxyType({**own, **of.unused, **own})


def _first(tokenizer: str, of: Family) -> tuple[str, ...]:
    """Return the tokenizers of a twin, with a certain one first."""
    return tuple(dict.fromkeys((tokenizer, *of.tokenizers)))


def _has_no_projection(config: Mapping[str, Any]) -> bool:
    """Return whether ELECTRA's embeddings are as wide as its layers. Defaults: ElectraConfig."""
    return bool(config.get("embedding_size", 128) == config.get("hidden_size", 256))


_VIT, _BEIT, _CLIP = ENCODERS["vit"], ENCODERS["beit"], ENCODERS["clip_vision_model"]
_BERT, _ROBERTA = DECODERS["bert"], DECODERS["roberta"]
_ROBERTA_ROWS = {"vocab_size": 30522}  # of Camembert's and data2vec's classes

TWIN_ENCODERS: Mapping[str, Family] = MappingProxyType(
    {
        "vit_mae": replace(
            _VIT,
            settings=twin_settings.VIT_MAE,
            unused=_unused(_VIT, decoder=_PRETRAINING),
            twin=Twin("vit"),
        ),
        "vit_msn": replace(_VIT, twin=Twin("vit", defaults={"layer_norm_eps": 1e-6})),
        "chinese_clip_vision_model": replace(
            _CLIP,
            image_processors=("ChineseCLIPImageProcessor", *_CLIP.image_processors),
            twin=Twin("clip_vision_model"),
        ),
        "data2vec-vision": replace(_BEIT, twin=Twin("beit", "data2vec_vision")),
    }
)

TWIN_DECODERS: Mapping[str, Family] = MappingProxyType(
    {
        "camembert": replace(
            _ROBERTA,
            tokenizers=_first("CamembertTokenizer", _ROBERTA),
            twin=Twin("roberta", defaults=_ROBERTA_ROWS),
        ),
        "data2vec-text": replace(
            _ROBERTA, twin=Twin("roberta", "data2vec_text", defaults=_ROBERTA_ROWS)
        ),
        "ernie": replace(
            _BERT,
            settings=twin_settings.ERNIE,
            unused=_unused(_BERT, task_type_embeddings=_TASK_TYPES),
            twin=Twin("bert", "ernie"),
        ),
        "electra": replace(
            _BERT,
            settings=twin_settings.ELECTRA,
            tokenizers=_first("ElectraTokenizer", _BERT),
            unused=_unused(_BERT, discriminator_predictions=_DISCRIMINATOR),
            twin=Twin(
                "bert",
                "electra",
                accepts=_has_no_projection,
                defaults={"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024},
                tensor_names={
                    ".generator_predictions.": ".cls.predictions.transform.",
                    ".generator_lm_head.bias": ".cls.predictions.bias",
                    ".generator_lm_head.": ".cls.predictions.decoder.",
                },
            ),
        ),
        "distilbert": replace(
            _BERT,
            settings=twin_settings.DISTILBERT,
            tokenizers=_first("DistilBertTokenizer", _BERT),
            unused=_unused(_BERT, pre_classifier="a head for another task"),
            twin=Twin(
                "bert",
                "distilbert",
                setting_names={
                    "activation": "hidden_act",
                    "attention_dropout": "attention_probs_dropout_prob",
                    "dim": "hidden_size",
                    "dropout": "hidden_dropout_prob",
                    "hidden_dim": "intermediate_size",
                    "n_heads": "num_attention_heads",
                    "n_layers": "num_hidden_layers",
                },
                defaults={"num_hidden_layers": 6, "type_vocab_size": 1},
                tensor_names={
                    ".transformer.layer.": ".encoder.layer.",
                    ".attention.q_lin.": ".attention.self.query.",
                    ".attention.k_lin.": ".attention.self.key.",
                    ".attention.v_lin.": ".attention.self.value.",
                    ".attention.out_lin.": ".attention.output.dense.",
                    ".sa_layer_norm.": ".attention.output.LayerNorm.",
                    ".ffn.lin1.": ".intermediate.dense.",
                    ".ffn.lin2.": ".output.dense.",
                    ".output_layer_norm.": ".output.LayerNorm.",
                    ".vocab_transform.": ".cls.predictions.transform.dense.",
                    ".vocab_layer_norm.": ".cls.predictions.transform.LayerNorm.",
                    ".vocab_projector.bias": ".cls.predictions.bias",
                    ".vocab_projector.": ".cls.predictions.decoder.",
                },
                zeros=("embeddings.token_type_embeddings.weight",),
            ),
        ),
    }
)

"""The encoder and decoder families that work, and what is known of each: one table.

A family is what a checkpoint's config calls `model_type`. Nothing else in VED asks which family it
has before it; what differs between families is a field here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ved.errors import VedError

Role = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class Family:
    """One family of checkpoints.

    Names are PyTorch's, without `prefix`: `h.0.attn.c_attn.weight`, never
    `transformer.h.0.attn.c_attn.weight`.
    """

    prefix: str
    """What some checkpoints put before every tensor of the base model, and others leave out."""

    optional: tuple[str, ...] = ()
    """Starts of the names that real checkpoints may lack; such parameters are drawn fresh."""

    cross_attention: tuple[str, ...] = ()
    """Parts of a name that mark a decoder's cross-attention; absent from most sources. A name
    begins with a dot here."""

    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """For a name, other names that hold the same (tied) tensor, best first."""

    left_out: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Parts of the names of tensors that the Flax model has no use for, and why not. As in
    `cross_attention`, a name begins with a dot here."""

    requires: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """Settings of its config that Flax ignores, and the one value that it computes with."""

    layers: str = "num_hidden_layers"
    """What its config calls the number of layers of the part that is used."""

    heads: str = "num_attention_heads"
    """What its config calls the number of attention heads in one of them."""

    generate_fails: str = ""
    """Why `generate` of transformers' own Flax class fails with this decoder; empty where it works.
    Words for the end of a sentence in Markdown."""

    flax_differs: str = ""
    """How the logits of transformers' own Flax class come to differ from PyTorch's; empty where
    they do not. Words for the end of a sentence in Markdown."""

    counts_from_pad: bool = False
    """Whether a decoder's first token has the position after its pad token's id."""

    takes_any_size: bool = False
    """Whether an encoder fits its position embeddings to images of another size than its own."""


_BERT_DECODE = "`decode` hands the encoder's states to the decoder's argument for token type ids"
_ROBERTA_POSITIONS = (
    "positions are counted from 0 instead of `pad_token_id + 1`, unless `decoder_position_ids` are "
    "passed"
)
_DINOV2_INTERPOLATION = (
    "position embeddings are interpolated otherwise for images of another size than the config's "
    "`image_size`"
)


_BUFFER = "a buffer, computed anew"
_OTHER_HEAD = "a head for another task"
_TIED = "the same tensor under another name"
_POOLER = "a decoder has no use for a pooler"
_NOT_CONFIGURED = "the encoder is configured to do without it"
_ABSOLUTE = MappingProxyType({"position_embedding_type": "absolute"})
_VISION_LEFT_OUT = MappingProxyType(
    {
        ".classifier.": _OTHER_HEAD,
        ".decoder.": _OTHER_HEAD,
        ".lm_head.": _OTHER_HEAD,
        ".relative_position_index": _BUFFER,
        ".mask_token": "it stands for hidden patches, in pretraining alone",
        ".layernorm.": _NOT_CONFIGURED,
        ".pooler.": _NOT_CONFIGURED,
    }
)


def _roberta(prefix: str) -> Family:
    return Family(
        prefix=prefix,
        left_out={
            ".position_ids": _BUFFER,
            ".pooler.": _POOLER,
            ".classifier.": _OTHER_HEAD,
            ".lm_head.decoder.": _TIED,
        },
        requires=_ABSOLUTE,
        optional=("lm_head.",),
        cross_attention=(".crossattention.",),
        aliases={
            "embeddings.word_embeddings.weight": ("lm_head.decoder.weight",),
            "lm_head.decoder.weight": ("embeddings.word_embeddings.weight",),
            "lm_head.bias": ("lm_head.decoder.bias",),
        },
        generate_fails=_BERT_DECODE,
        flax_differs=_ROBERTA_POSITIONS,
        counts_from_pad=True,
    )


_GPT2 = Family(
    prefix="transformer",
    cross_attention=(".crossattention.", ".ln_cross_attn."),
    aliases={"wte.weight": ("lm_head.weight",)},
    left_out={
        ".attn.bias": _BUFFER,
        ".attn.masked_bias": _BUFFER,
        ".lm_head.weight": _TIED,
        ".score.": _OTHER_HEAD,
        ".multiple_choice_head.": _OTHER_HEAD,
    },
    requires={"scale_attn_by_inverse_layer_idx": False},
)

ENCODERS: Mapping[str, Family] = MappingProxyType(
    {
        "vit": Family(prefix="vit", optional=("pooler.",), left_out=_VISION_LEFT_OUT),
        "beit": Family(prefix="beit", optional=("pooler.",), left_out=_VISION_LEFT_OUT),
        "dinov2": Family(
            prefix="dinov2",
            optional=("embeddings.mask_token",),
            left_out=_VISION_LEFT_OUT,
            requires={"layerscale_value": 1.0},
            takes_any_size=True,
            flax_differs=_DINOV2_INTERPOLATION,
        ),
    }
)

DECODERS: Mapping[str, Family] = MappingProxyType(
    {
        "gpt2": _GPT2,
        "gpt-sw3": _GPT2,
        "bart": Family(
            prefix="model",
            cross_attention=(".encoder_attn.", ".encoder_attn_layer_norm."),
            aliases={
                "decoder.embed_tokens.weight": ("shared.weight", "lm_head.weight"),
                "lm_head.weight": ("shared.weight", "decoder.embed_tokens.weight"),
            },
            left_out={
                ".encoder.": "the other half of the source",
                ".shared.weight": _TIED,
                ".lm_head.weight": _TIED,
                ".final_logits_bias": "Flax's decoder adds no bias to its logits",
                ".classification_head.": _OTHER_HEAD,
                ".qa_outputs.": _OTHER_HEAD,
            },
            layers="decoder_layers",
            heads="decoder_attention_heads",
        ),
        "bert": Family(
            prefix="bert",
            optional=("cls.predictions.",),
            cross_attention=(".crossattention.",),
            aliases={
                "embeddings.word_embeddings.weight": ("cls.predictions.decoder.weight",),
                "cls.predictions.decoder.weight": ("embeddings.word_embeddings.weight",),
                "cls.predictions.bias": ("cls.predictions.decoder.bias",),
            },
            left_out={
                ".position_ids": _BUFFER,
                ".pooler.": _POOLER,
                ".cls.seq_relationship.": _OTHER_HEAD,
                ".cls.predictions.decoder.": _TIED,
                ".classifier.": _OTHER_HEAD,
                ".qa_outputs.": _OTHER_HEAD,
            },
            requires=_ABSOLUTE,
            generate_fails=_BERT_DECODE,
        ),
        "roberta": _roberta("roberta"),
        "xlm-roberta": _roberta("roberta"),
        "roberta-prelayernorm": _roberta("roberta_prelayernorm"),
    }
)

_DUAL = (
    "it is a dual model of text and image, and transformers has no Flax class for its image half"
)
_POOLED = "its output is a map of features, not a sequence that a decoder can attend to"
_NO_CROSS_ATTENTION = "transformers' Flax class for it has no cross-attention"
_NO_TOKEN_TYPES = "transformers' Flax composite gives it no token type ids, which it demands"  # noqa: S105

REFUSED_ENCODERS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("clip", "vision-text-dual-encoder", "siglip"), _DUAL),
        **dict.fromkeys(("resnet", "regnet"), _POOLED),
        **dict.fromkeys((*DECODERS, "t5", "mt5"), "it reads text, not images"),
    }
)

REFUSED_DECODERS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("bloom", "gemma", "gpt_neo", "gptj", "llama", "mistral", "opt"), _NO_CROSS_ATTENTION
        ),
        **dict.fromkeys(("electra", "big_bird"), _NO_TOKEN_TYPES),
        "xglm": "transformers' Flax composite reads settings that its config does not have",
        **dict.fromkeys(ENCODERS, "it reads images, not text"),
    }
)

_BY_ROLE: Mapping[Role, tuple[Mapping[str, Family], Mapping[str, str]]] = {
    "encoder": (ENCODERS, REFUSED_ENCODERS),
    "decoder": (DECODERS, REFUSED_DECODERS),
}


def family(role: Role, model_type: object, origin: str) -> Family:
    """Return the family called `model_type`.

    Args:
        role: what a checkpoint of it is to become.
        model_type: `model_type` of its config.json.
        origin: the checkpoint, for the error.

    Raises:
        VedError: it cannot play that role in a Flax vision encoder-decoder model.
    """
    families, refused = _BY_ROLE[role]
    if isinstance(model_type, str) and model_type in families:
        return families[model_type]
    remedy = f"These families can be the {role}: {', '.join(sorted(families))}."
    if not isinstance(model_type, str):
        cause = f"The config.json of {origin} names no model_type."
        raise VedError(cause, remedy, see="config-not-usable")
    reason = refused.get(model_type, "transformers has no Flax classes that fit")
    raise VedError(
        f"{origin} is a {model_type!r} checkpoint, which cannot be the {role} of a Flax vision "
        f"encoder-decoder model: {reason}.",
        remedy,
        see="family-that-does-not-work",
    )

"""The supported encoder and decoder families: one table.

The keys are values of `model_type` in config.json. No other module of VED distinguishes families by
name: each difference between families is a field of `Family`. Source of all facts: transformers
4.57, in its PyTorch and Flax classes for the family.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ved.families import config_classes, settings, text, vision, windows
from ved.families.config_class import ConfigClass
from ved.families.family import Family
from ved.families.text import COMMON_TOKENIZERS
from ved.families.vision import (
    BUFFER,
    COMMON_IMAGE_PROCESSORS,
    OTHER_HEAD,
    VISION_UNUSED,
    first,
)

# Family.generate_fails and Family.flax_differs
_BERT_DECODE = "`decode` passes the encoder's states to the decoder as token type ids"
_ROBERTA_POSITIONS = (
    "positions are counted from 0 instead of `pad_token_id + 1`, unless `decoder_position_ids` are "
    "passed"
)
_DINOV2_INTERPOLATION = (
    "position embeddings are interpolated differently for images whose size is not the config's "
    "`image_size`"
)

# Reasons of Family.unused
_POOLER = "a decoder does not use a pooler"


def _roberta(prefix: str, config_class: ConfigClass, tokenizer: str = "RobertaTokenizer") -> Family:
    """Return the family of RoBERTa or of one of its relatives."""
    return Family(
        tokenizers=first(tokenizer, *COMMON_TOKENIZERS, "BertweetTokenizer", "PhobertTokenizer"),
        prefix=prefix,
        unused={
            ".position_ids": BUFFER,
            ".pooler.": _POOLER,
            ".classifier.": OTHER_HEAD,
        },
        settings=settings.ROBERTA,
        config_class=config_class,
        optional=("lm_head.",),
        cross_attention=(".crossattention.",),
        aliases={
            "embeddings.word_embeddings.weight": ("lm_head.decoder.weight",),
            "lm_head.decoder.weight": ("embeddings.word_embeddings.weight",),
            "lm_head.bias": ("lm_head.decoder.bias",),
        },
        head="lm_head.decoder.weight",
        head_biases=("lm_head.bias", "lm_head.decoder.bias"),
        generate_fails=_BERT_DECODE,
        flax_differs=_ROBERTA_POSITIONS,
        counts_from_pad=True,
    )


_GPT2 = Family(
    prefix="transformer",
    tokenizers=first("GPT2Tokenizer", *COMMON_TOKENIZERS, "GPTSw3Tokenizer"),
    cross_attention=(".crossattention.", ".ln_cross_attn."),
    aliases={"wte.weight": ("lm_head.weight",), "lm_head.weight": ("wte.weight",)},
    head="lm_head.weight",
    unused={
        ".attn.bias": BUFFER,
        ".attn.masked_bias": BUFFER,
        # In whole models
        ".crossattention.bias": BUFFER,
        ".crossattention.masked_bias": BUFFER,
        ".score.": OTHER_HEAD,
        ".multiple_choice_head.": OTHER_HEAD,
    },
    settings=settings.GPT2,
    config_class=config_classes.GPT2,
)

ENCODERS: Mapping[str, Family] = MappingProxyType(
    {
        "vit": Family(
            prefix="vit",
            settings=settings.VIT,
            config_class=config_classes.VIT,
            optional=("pooler.",),
            unused=VISION_UNUSED,
            image_processors=first("ViTImageProcessor", *COMMON_IMAGE_PROCESSORS),
        ),
        "beit": Family(
            prefix="beit",
            settings=settings.BEIT,
            config_class=config_classes.BEIT,
            optional=("pooler.",),
            unused=VISION_UNUSED,
            image_processors=first("BeitImageProcessor", *COMMON_IMAGE_PROCESSORS),
        ),
        "dinov2": Family(
            prefix="dinov2",
            image_processors=first("BitImageProcessor", *COMMON_IMAGE_PROCESSORS),
            optional=("embeddings.mask_token",),
            unused=VISION_UNUSED,
            settings=settings.DINOV2,
            config_class=config_classes.DINOV2,
            takes_any_size=True,
            flax_differs=_DINOV2_INTERPOLATION,
        ),
        "swin": windows.SWIN,
        "swinv2": windows.SWINV2,
        "donut-swin": windows.DONUT_SWIN,
        "clip_vision_model": vision.CLIP_VISION,
        "deit": vision.DEIT,
        "dinov2_with_registers": vision.DINOV2_WITH_REGISTERS,
        "dinov3_vit": vision.DINOV3_VIT,
        "ijepa": vision.IJEPA,
        "siglip_vision_model": vision.SIGLIP_VISION,
    }
)

DECODERS: Mapping[str, Family] = MappingProxyType(
    {
        "gpt2": _GPT2,
        "gpt-sw3": _GPT2,
        "bart": text.BART,
        "bert": Family(
            prefix="bert",
            tokenizers=first("BertTokenizer", *COMMON_TOKENIZERS),
            optional=("cls.predictions.",),
            cross_attention=(".crossattention.",),
            aliases={
                "embeddings.word_embeddings.weight": ("cls.predictions.decoder.weight",),
                "cls.predictions.decoder.weight": ("embeddings.word_embeddings.weight",),
                "cls.predictions.bias": ("cls.predictions.decoder.bias",),
            },
            head="cls.predictions.decoder.weight",
            head_biases=("cls.predictions.bias", "cls.predictions.decoder.bias"),
            unused={
                ".position_ids": BUFFER,
                ".pooler.": _POOLER,
                ".cls.seq_relationship.": OTHER_HEAD,
                ".classifier.": OTHER_HEAD,
                ".qa_outputs.": OTHER_HEAD,
            },
            settings=settings.BERT,
            config_class=config_classes.BERT,
            generate_fails=_BERT_DECODE,
        ),
        "roberta": _roberta("roberta", config_classes.ROBERTA),
        "xlm-roberta": _roberta("roberta", config_classes.XLM_ROBERTA, "XLMRobertaTokenizer"),
        "roberta-prelayernorm": _roberta(
            "roberta_prelayernorm", config_classes.ROBERTA_PRELAYERNORM
        ),
        "mbart": text.MBART,
        "pegasus": text.PEGASUS,
        "trocr": text.TROCR,
        "electra": text.ELECTRA,
        "xglm": text.XGLM,
        "bert-generation": text.BERT_GENERATION,
    }
)

REFUSED_TOKENIZERS: Mapping[str, str] = MappingProxyType(
    {
        name: f"it needs the package {package}, which VED does not support"
        for package, names in {
            "jieba": ("CpmTokenizer",),
            "rjieba": ("RoFormerTokenizer",),
            "sacremoses": (
                *("BioGptTokenizer", "FlaubertTokenizer", "FSMTTokenizer"),
                *("TransfoXLTokenizer", "XLMTokenizer"),
            ),
        }.items()
        for name in names
    }
)
"""Reasons why classes of tokenizers are refused: ends of a sentence."""

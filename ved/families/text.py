"""Families of text: BART and its relatives, ELECTRA and BertGeneration."""

from typing import Any

from ved.families import config_classes, settings, text_settings
from ved.families.config_class import ConfigClass
from ved.families.family import Family
from ved.families.vision import BUFFER, OTHER_HEAD, first

# Checkpoints of every family have tokenizers of other families. None of these classes reads a file
# that is not a vocabulary in the same directory.
COMMON_TOKENIZERS = (
    "AlbertTokenizer",
    "BarthezTokenizer",
    "BartTokenizer",
    "BertJapaneseTokenizer",
    "BertTokenizer",
    "CamembertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "GPT2Tokenizer",
    "HerbertTokenizer",
    "PreTrainedTokenizer",
    "RobertaTokenizer",
    "T5Tokenizer",
    "TokenizersBackend",
    "XLMRobertaTokenizer",
)

_BART_CROSS_ATTENTION = (".encoder_attn.", ".encoder_attn_layer_norm.")


def _bart(
    known: settings.Settings, config_class: ConfigClass, *tokenizers: str, **facts: Any
) -> Family:
    """Return the family of BART or of one of its relatives."""
    buffers = facts.get("buffers", {})
    return Family(
        prefix="model",
        settings=known,
        config_class=config_class,
        tokenizers=first(*tokenizers, *COMMON_TOKENIZERS),
        cross_attention=_BART_CROSS_ATTENTION,
        aliases={
            "decoder.embed_tokens.weight": ("shared.weight", "lm_head.weight"),
            "lm_head.weight": ("shared.weight", "decoder.embed_tokens.weight"),
        },
        head="lm_head.weight",
        unused={
            ".encoder.": "the other half of the source",
            ".final_logits_bias": "the Flax decoder adds no bias to its logits",
            ".classification_head.": OTHER_HEAD,
            ".qa_outputs.": OTHER_HEAD,
            **dict.fromkeys((f".decoder.{name}" for name in buffers.values()), BUFFER),
        },
        layers="decoder_layers",
        heads="decoder_attention_heads",
        **facts,
    )


BART = _bart(settings.BART, config_classes.BART, "BartTokenizer")

MBART = _bart(
    text_settings.MBART,
    config_classes.MBART,
    *("MBartTokenizer", "MBart50Tokenizer"),
    has_flax_class=False,
    starts_with_last=True,
)

PEGASUS = _bart(
    text_settings.PEGASUS,
    config_classes.PEGASUS,
    "PegasusTokenizer",
    has_flax_class=False,
    buffers={"embed_tokens.embedding": "embed_positions.weight"},
)

TROCR = Family(
    prefix="model",
    settings=text_settings.TROCR,
    config_class=config_classes.TROCR,
    tokenizers=first("RobertaTokenizer", *COMMON_TOKENIZERS),
    cross_attention=_BART_CROSS_ATTENTION,
    aliases={
        "decoder.embed_tokens.weight": ("output_projection.weight",),
        "output_projection.weight": ("decoder.embed_tokens.weight",),
    },
    head="output_projection.weight",
    layers="decoder_layers",
    heads="decoder_attention_heads",
    has_flax_class=False,
)

ELECTRA = Family(
    prefix="electra",
    settings=text_settings.ELECTRA,
    config_class=config_classes.ELECTRA,
    tokenizers=first("ElectraTokenizer", *COMMON_TOKENIZERS),
    optional=("generator_predictions.", "generator_lm_head."),
    cross_attention=(".crossattention.",),
    aliases={
        "embeddings.word_embeddings.weight": ("generator_lm_head.weight",),
        "generator_lm_head.weight": ("embeddings.word_embeddings.weight",),
    },
    head="generator_lm_head.weight",
    unused={
        ".position_ids": BUFFER,
        ".discriminator_predictions.": OTHER_HEAD,
        ".classifier.": OTHER_HEAD,
        ".qa_outputs.": OTHER_HEAD,
    },
    has_flax_class=False,  # it needs token type ids
)

BERT_GENERATION = Family(
    prefix="bert",
    settings=text_settings.BERT_GENERATION,
    config_class=config_classes.BERT_GENERATION,
    tokenizers=first("BertGenerationTokenizer", *COMMON_TOKENIZERS),
    optional=("lm_head.",),
    cross_attention=(".crossattention.",),
    aliases={
        "embeddings.word_embeddings.weight": ("lm_head.decoder.weight",),
        "lm_head.decoder.weight": ("embeddings.word_embeddings.weight",),
        "lm_head.bias": ("lm_head.decoder.bias",),
    },
    head="lm_head.decoder.weight",
    head_biases=("lm_head.bias", "lm_head.decoder.bias"),
    unused={".position_ids": BUFFER},
    has_flax_class=False,
)

XGLM = Family(
    prefix="model",
    settings=text_settings.XGLM,
    config_class=config_classes.XGLM,
    tokenizers=first("XGLMTokenizer", *COMMON_TOKENIZERS),
    cross_attention=_BART_CROSS_ATTENTION,
    aliases={
        "embed_tokens.weight": ("lm_head.weight",),
        "lm_head.weight": ("embed_tokens.weight",),
    },
    head="lm_head.weight",
    unused={".embed_positions.": BUFFER},
    has_flax_class=False,
    begins_with_eos=True,
    counts_from_pad=True,  # its sinusoids depend on the id of the pad token
)

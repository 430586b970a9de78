"""One function for each family of decoders that transformers has no Flax class for."""

from dataclasses import replace
from pathlib import Path

from transformers import (
    BertGenerationConfig,
    ElectraConfig,
    ElectraTokenizerFast,
    MBartConfig,
    MBartTokenizerFast,
    TrOCRConfig,
)

from tests.checkpoints.families import sentencepiece_model
from tests.checkpoints.options import DecoderOptions, takes
from tests.checkpoints.variants import write_decoder
from ved.localhub.samples.decoders import build_bart, build_roberta
from ved.localhub.samples.vocabularies import SampleTokenizer, bert_tokenizer, roberta_tokenizer
from ved.localhub.samples.weights import RandomTensors, under


@takes(DecoderOptions)
def mbart(directory: Path, options: DecoderOptions) -> None:
    """Write an mBART like facebook/mbart-large-cc25: BART with norms first, and languages."""
    files = {"sentencepiece.bpe.model": sentencepiece_model()}
    tokenizer = SampleTokenizer(MBartTokenizerFast, files)
    sample = build_bart(
        options.of_sample, MBartConfig, tokenizer, last_norm=True, scale_embedding=True
    )
    write_decoder(directory, replace(sample, language="[multilingual, en]"), options)


@takes(DecoderOptions)
def trocr(directory: Path, options: DecoderOptions) -> None:
    """Write the decoder of a TrOCR like microsoft/trocr-base-printed, without its encoder.

    Its cross-attention reads the states of an encoder of its own width.
    """
    sample = build_bart(options.of_sample, TrOCRConfig, roberta_tokenizer())
    base = {name: each for name, each in sample.base.items() if name.startswith("decoder.")}
    for name in ("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"):
        delattr(sample.config, name)
    if not sample.config.layernorm_embedding:
        base = {name: each for name, each in base.items() if "layernorm_embedding" not in name}
    sample = replace(
        sample,
        base=base,
        base_architecture="TrOCRForCausalLM",
        heads={"output_projection.weight": base["decoder.embed_tokens.weight"]},
        head_architecture="TrOCRForCausalLM",
        license="mit",
        has_generation_config=False,
    )
    write_decoder(directory, sample, options)


@takes(DecoderOptions)
def electra_small(directory: Path, options: DecoderOptions) -> None:
    """Write an ELECTRA like google/electra-small-generator: its embeddings are narrow."""
    tokenizer = SampleTokenizer(ElectraTokenizerFast, bert_tokenizer().files)
    narrow = options.hidden_size // 2
    options = replace(options, config={"embedding_size": narrow, **options.config})
    sample = build_roberta(options.of_sample, ElectraConfig, tokenizer)
    config, random = sample.config, RandomTensors(options.seed + 1)
    base = {
        **sample.base,
        **under(
            "embeddings",
            random.embedding("word_embeddings", config.vocab_size, config.embedding_size),
            random.embedding(
                "position_embeddings", config.max_position_embeddings, config.embedding_size
            ),
            random.embedding(
                "token_type_embeddings", config.type_vocab_size, config.embedding_size
            ),
            random.norm("LayerNorm", config.embedding_size),
        ),
    }
    if config.embedding_size != config.hidden_size:
        base |= random.linear("embeddings_project", config.embedding_size, config.hidden_size)
    heads = {
        "generator_lm_head.weight": base["embeddings.word_embeddings.weight"],
        "generator_lm_head.bias": random.small(config.vocab_size),
        **under(
            "generator_predictions",
            random.linear("dense", config.hidden_size, config.embedding_size),
            random.norm("LayerNorm", config.embedding_size),
        ),
    }
    sample = replace(sample, base=base, heads=heads, prefix="electra", license="apache-2.0")
    write_decoder(directory, sample, options)


@takes(DecoderOptions)
def bert_generation(directory: Path, options: DecoderOptions) -> None:
    """Write a BertGeneration with a vocabulary of BERT, as its documentation warm-starts one.

    The real google/bert_for_seq_generation_L-24_bbc_encoder has no head, but this one has.
    """
    ids = {"bos_token_id": 2, "eos_token_id": 3}
    options = replace(options, config={**ids, **options.config})
    sample = build_roberta(options.of_sample, BertGenerationConfig, bert_tokenizer())
    base = {name: each for name, each in sample.base.items() if "token_type" not in name}
    names = ("lm_head.bias", "lm_head.decoder.weight", "lm_head.decoder.bias")
    heads = {name: sample.heads[name] for name in names}
    sample = replace(
        sample,
        base=base,
        base_architecture="BertGenerationEncoder",
        heads=heads,
        head_architecture="BertGenerationDecoder",
        prefix="bert",
        license="apache-2.0",
    )
    write_decoder(directory, sample, options)

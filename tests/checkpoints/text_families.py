"""One function for each family of decoders that transformers has no Flax class for."""

import re
from dataclasses import replace
from pathlib import Path

from tests.checkpoints.families import sentencepiece_model
from tests.checkpoints.formats import CONFIGS, TOKENIZERS
from tests.checkpoints.options import DecoderOptions, takes
from tests.checkpoints.variants import write_decoder
from ved.localhub.samples.bart import build_bart
from ved.localhub.samples.decoders import build_roberta
from ved.localhub.samples.vocabularies import (
    MAX_LENGTH,
    SampleTokenizer,
    bert_tokenizer,
    roberta_tokenizer,
)
from ved.localhub.samples.weights import RandomTensors, under


@takes(DecoderOptions)
def mbart(directory: Path, options: DecoderOptions) -> None:
    """Write an mBART like facebook/mbart-large-cc25: BART with norms first, and languages."""
    files = {"sentencepiece.bpe.model": sentencepiece_model()}
    tokenizer = SampleTokenizer(TOKENIZERS["MBartTokenizer"], files)
    sample = build_bart(
        options.of_sample, CONFIGS["MBart"], tokenizer, last_norm=True, scale_embedding=True
    )
    write_decoder(directory, replace(sample, language="[multilingual, en]"), options)


@takes(DecoderOptions)
def trocr(directory: Path, options: DecoderOptions) -> None:
    """Write the decoder of a TrOCR like microsoft/trocr-base-printed, without its encoder.

    Its cross-attention reads the states of an encoder of its own width, or of the width in its
    config.
    """
    sample = build_bart(options.of_sample, CONFIGS["TrOCR"], roberta_tokenizer())
    base = {name: each for name, each in sample.base.items() if name.startswith("decoder.")}
    for name in ("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim"):
        del sample.config.settings[name]
    if not sample.config.layernorm_embedding:
        base = {name: each for name, each in base.items() if "layernorm_embedding" not in name}
    width, random = sample.config.cross_attention_hidden_size, RandomTensors(options.seed + 1)
    for name in base if width else ():
        if name.endswith(("encoder_attn.k_proj.weight", "encoder_attn.v_proj.weight")):
            base[name] = random.small(len(base[name]), width)
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
    tokenizer = bert_tokenizer().of_class("ElectraTokenizer")
    narrow = options.hidden_size // 2
    options = replace(options, config={"embedding_size": narrow, **options.config})
    sample = build_roberta(options.of_sample, CONFIGS["Electra"], tokenizer)
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
    sample = build_roberta(options.of_sample, CONFIGS["BertGeneration"], bert_tokenizer())
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


@takes(DecoderOptions)
def xglm(directory: Path, options: DecoderOptions) -> None:
    """Write an XGLM like facebook/xglm-564M: a language model, without cross-attention."""
    tokenizer = SampleTokenizer(
        TOKENIZERS["XGLMTokenizer"], {"sentencepiece.bpe.model": sentencepiece_model()}
    )
    config = options.of_sample.build_config(
        CONFIGS["XGLM"],
        vocab_size=tokenizer.size,
        max_position_embeddings=MAX_LENGTH,
        ffn_dim=4 * options.hidden_size,
    )
    sample = build_bart(
        replace(options.of_sample, config={"decoder_layers": config.num_layers}),
        CONFIGS["MBart"],
        tokenizer,
        last_norm=True,
    )
    base = {
        name.removeprefix("decoder."): tensor
        for name, tensor in sample.base.items()
        if name.startswith("decoder.")
        and not re.search("encoder_attn|embed_positions|layernorm_embedding", name)
    }
    sample = replace(
        sample,
        config=config,
        base=base,
        base_architecture="XGLMModel",
        heads={"lm_head.weight": base["embed_tokens.weight"]},
        head_architecture="XGLMForCausalLM",
        license="mit",
        language="[multilingual, en]",
        has_generation_config=False,
    )
    write_decoder(directory, sample, options)


@takes(DecoderOptions)
def pegasus(directory: Path, options: DecoderOptions) -> None:
    """Write a PEGASUS like google/pegasus-large: sinusoids are among its tensors, or not."""
    model = sentencepiece_model(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    tokenizer = SampleTokenizer(TOKENIZERS["PegasusTokenizer"], {"spiece.model": model})
    sample = build_bart(
        options.of_sample,
        CONFIGS["Pegasus"],
        tokenizer,
        last_norm=True,
        **{"scale_embedding": True, "normalize_embedding": False, "decoder_start_token_id": 0},
        static_position_embeddings=True,
    )
    base = {
        name: tensor[2:] if "embed_positions" in name else tensor
        for name, tensor in sample.base.items()
        if "layernorm_embedding" not in name
    }
    write_decoder(directory, replace(sample, base=base), options)

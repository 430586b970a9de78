"""Text decoders, each with the names, heads and buffers of the repository it is modelled on.

Token embeddings have as many rows as the tokenizer has tokens, the extra ones apart.
"""

from pathlib import Path
from typing import Any

import numpy as np
from transformers import (
    BartConfig,
    BartTokenizerFast,
    BertConfig,
    BertTokenizerFast,
    GenerationConfig,
    GPT2Config,
    GPT2TokenizerFast,
    RobertaConfig,
    RobertaPreLayerNormConfig,
    RobertaTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaTokenizerFast,
)

from ved.localhub.checkpoints.options import DecoderOptions, asked_by
from ved.localhub.checkpoints.repository import write_model
from ved.localhub.checkpoints.vocabularies import MAX_LENGTH, write_tokenizer
from ved.localhub.checkpoints.weights import Draw, Tensors, under

_FIRST_POSITION = 2  # of RoBERTa, pad id + 1, and of BART: rows before it are never looked up


@asked_by(DecoderOptions)
def gpt2(directory: Path, options: DecoderOptions) -> None:
    """Write a GPT-2 as openai-community/gpt2 has it: no prefix, causal masks as float buffers.

    With a prefix, as transformers long saved fine-tuned ones: the masks are bytes, and a
    masked_bias goes with each. So it is where the head's name is asked for, too, because PyTorch
    classes call a file corrupted that has the head and no prefix.
    """
    prefixed = options.prefixed(by_default=options.tied != "embedding")
    rows = write_tokenizer(directory, options, GPT2TokenizerFast)
    config = options.configure(
        GPT2Config,
        vocab_size=rows,
        n_positions=MAX_LENGTH,
        bos_token_id=rows - 1,
        eos_token_id=rows - 1,
        architectures=["GPT2LMHeadModel"],
    )
    draw = Draw(options.seed)
    base = {
        **draw.embedding("wte", config.vocab_size, config.n_embd),
        **draw.embedding("wpe", config.n_positions, config.n_embd),
        **_gpt2_layers(draw, config, old_buffers=prefixed),
        **draw.norm("ln_f", config.n_embd),
    }
    head = {"lm_head.weight": base["wte.weight"]}
    tensors = _tied((under("transformer", base) if prefixed else base) | head, options)
    write_model(directory, options, config, tensors, license="mit", language="en")
    GenerationConfig.from_model_config(config).save_pretrained(directory)


@asked_by(DecoderOptions)
def bert(directory: Path, options: DecoderOptions) -> None:
    """Write a BERT as google-bert/bert-base-uncased has it, with both heads of its pretraining.

    Layer norms have a gamma and a beta; there is no bos and no eos token. Unlike there,
    position_ids are in the file, as in many a BERT that transformers saved.
    """
    prefixed = options.prefixed(by_default=True)
    config = options.configure(
        BertConfig,
        vocab_size=write_tokenizer(directory, options, BertTokenizerFast),
        intermediate_size=4 * options.hidden_size,
        max_position_embeddings=MAX_LENGTH,
        architectures=["BertForMaskedLM" if prefixed else "BertModel"],
    )
    width, draw = config.hidden_size, Draw(options.seed)
    base = _bert_base(draw, config) | draw.linear("pooler.dense", width, width)
    bias = draw.small(config.vocab_size)
    predictions = {
        "bias": bias,
        **draw.linear("transform.dense", width, width),
        **draw.norm("transform.LayerNorm", width),
        "decoder.weight": base["embeddings.word_embeddings.weight"],
        "decoder.bias": bias,
    }
    heads = under(
        "cls", under("predictions", predictions), draw.linear("seq_relationship", width, 2)
    )
    tensors = _tied(under("bert", base) | heads if prefixed else base, options)
    write_model(
        directory, options, config, _old_layer_norms(tensors), license="apache-2.0", language="en"
    )


@asked_by(DecoderOptions)
def roberta(directory: Path, options: DecoderOptions) -> None:
    """Write a RoBERTa as FacebookAI/roberta-base has it: with position_ids, without a pooler."""
    _write_roberta(directory, options, RobertaConfig, RobertaTokenizerFast)


@asked_by(DecoderOptions)
def xlm_roberta(directory: Path, options: DecoderOptions) -> None:
    """Write an XLM-RoBERTa as FacebookAI/xlm-roberta-base has it: RoBERTa's names and a pooler."""
    _write_roberta(directory, options, XLMRobertaConfig, XLMRobertaTokenizerFast)


@asked_by(DecoderOptions)
def roberta_prelayernorm(directory: Path, options: DecoderOptions) -> None:
    """Write a RoBERTa-PreLayerNorm as andreasmadsen/efficient_mlm_m0.40 has it."""
    _write_roberta(directory, options, RobertaPreLayerNormConfig, RobertaTokenizerFast)


def _write_roberta(
    directory: Path, options: DecoderOptions, config_class: Any, tokenizer_class: Any
) -> None:
    prefixed = options.prefixed(by_default=True)
    name = config_class.__name__.removesuffix("Config")
    config = options.configure(
        config_class,
        vocab_size=write_tokenizer(directory, options, tokenizer_class),
        intermediate_size=4 * options.hidden_size,
        max_position_embeddings=_FIRST_POSITION + MAX_LENGTH,
        type_vocab_size=1,
        architectures=[f"{name}ForMaskedLM" if prefixed else f"{name}Model"],
    )
    width, draw = config.hidden_size, Draw(options.seed)
    base = _bert_base(draw, config)
    multilingual = config.model_type == "xlm-roberta"
    if multilingual:
        base |= draw.linear("pooler.dense", width, width)
    bias = draw.small(config.vocab_size)
    head = {
        "bias": bias,
        **draw.linear("dense", width, width),
        **draw.norm("layer_norm", width),
        "decoder.weight": base["embeddings.word_embeddings.weight"],
        "decoder.bias": bias,
    }
    prefix = "roberta_prelayernorm" if _norms_first(config) else "roberta"
    tensors = _tied(under(prefix, base) | under("lm_head", head) if prefixed else base, options)
    language = "[multilingual, en]" if multilingual else "en"
    write_model(directory, options, config, tensors, license="mit", language=language)


@asked_by(DecoderOptions)
def bart(directory: Path, options: DecoderOptions) -> None:
    """Write a BART, encoder and all, with the names that facebook/bart-large-cnn has.

    Its token embeddings, `model.shared.weight`, serve encoder, decoder and head.
    """
    prefixed = options.prefixed(by_default=True)
    inner = 4 * options.hidden_size
    config = options.configure(
        BartConfig,
        vocab_size=write_tokenizer(directory, options, BartTokenizerFast),
        max_position_embeddings=MAX_LENGTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=inner,
        decoder_ffn_dim=inner,
        architectures=["BartForConditionalGeneration" if prefixed else "BartModel"],
    )
    draw = Draw(options.seed)
    shared = draw.small(config.vocab_size, config.d_model)
    base = {
        "shared.weight": shared,
        **under("encoder", _bart_stack(draw, config, shared, config.encoder_layers)),
        **under("decoder", _bart_stack(draw, config, shared, config.decoder_layers, cross=True)),
    }
    heads = {"final_logits_bias": draw.small(1, config.vocab_size), "lm_head.weight": shared}
    tensors = _tied(under("model", base) | heads if prefixed else base, options)
    write_model(directory, options, config, tensors, license="apache-2.0", language="en")
    GenerationConfig.from_model_config(config).save_pretrained(directory)


def _tied(tensors: Tensors, options: DecoderOptions) -> Tensors:
    """Drop all but one name of arrays with several, or none, as `options.tied` asks."""
    if options.tied == "both":
        return tensors
    names: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        names.setdefault(id(tensor), []).append(name)
    # The head's bias stays where it is: no tool is known that leaves it under decoder.bias alone.
    kept = {
        shared[-1] if options.tied == "head" and tensors[shared[0]].ndim == 2 else shared[0]
        for shared in names.values()
    }
    return {name: tensor for name, tensor in tensors.items() if name in kept}


def _gpt2_layers(draw: Draw, config: Any, *, old_buffers: bool) -> Tensors:
    """Return the layers; their linear weights are of shape (inputs, outputs), unlike others'."""
    width = config.n_embd
    mask = np.tril(np.ones((1, 1, config.n_positions, config.n_positions)))
    mask_dtype = np.uint8 if old_buffers else np.float32
    layers: Tensors = {}
    for number in range(config.n_layer):
        layers |= under(
            f"h.{number}",
            draw.norm("ln_1", width),
            {"attn.bias": mask.astype(mask_dtype)},  # copied: one array would be a tied one
            {"attn.masked_bias": np.array(-1e4, np.float32)} if old_buffers else {},
            _conv1d(draw, "attn.c_attn", width, 3 * width),
            _conv1d(draw, "attn.c_proj", width, width),
            draw.norm("ln_2", width),
            _conv1d(draw, "mlp.c_fc", width, 4 * width),
            _conv1d(draw, "mlp.c_proj", 4 * width, width),
        )
    return layers


def _conv1d(draw: Draw, name: str, inputs: int, outputs: int) -> Tensors:
    return {f"{name}.weight": draw.small(inputs, outputs), f"{name}.bias": draw.small(outputs)}


def _norms_first(config: Any) -> bool:
    return bool(config.model_type == "roberta-prelayernorm")


def _bert_base(draw: Draw, config: Any) -> Tensors:
    """Return embeddings and layers as BERT, RoBERTa and RoBERTa-PreLayerNorm name them."""
    width = config.hidden_size
    base = under(
        "embeddings",
        {"position_ids": np.arange(config.max_position_embeddings)[None]},
        draw.embedding("word_embeddings", config.vocab_size, width),
        draw.embedding("position_embeddings", config.max_position_embeddings, width),
        draw.embedding("token_type_embeddings", config.type_vocab_size, width),
        draw.norm("LayerNorm", width),
    )
    for number in range(config.num_hidden_layers):
        base |= under(f"encoder.layer.{number}", _bert_layer(draw, config))
    return base | (draw.norm("LayerNorm", width) if _norms_first(config) else {})


def _bert_layer(draw: Draw, config: Any) -> Tensors:
    width, inner = config.hidden_size, config.intermediate_size
    before = _norms_first(config)
    return {
        **under(
            "attention.self",
            *(draw.linear(name, width, width) for name in ("query", "key", "value")),
        ),
        **draw.linear("attention.output.dense", width, width),
        **draw.norm("attention.LayerNorm" if before else "attention.output.LayerNorm", width),
        **draw.linear("intermediate.dense", width, inner),
        **draw.linear("output.dense", inner, width),
        **draw.norm("intermediate.LayerNorm" if before else "output.LayerNorm", width),
    }


def _old_layer_norms(tensors: Tensors) -> Tensors:
    """Name layer norms as the conversion from TensorFlow did."""
    return {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in tensors.items()
    }


def _bart_stack(
    draw: Draw, config: Any, shared: np.ndarray, layer_count: int, *, cross: bool = False
) -> Tensors:
    """Return the encoder or, with cross-attention, the decoder."""
    positions = _FIRST_POSITION + config.max_position_embeddings
    stack = {
        "embed_tokens.weight": shared,
        **draw.embedding("embed_positions", positions, config.d_model),
    }
    inner = config.decoder_ffn_dim if cross else config.encoder_ffn_dim
    for number in range(layer_count):
        stack |= under(
            f"layers.{number}",
            _bart_attention(draw, "self_attn", config.d_model),
            _bart_attention(draw, "encoder_attn", config.d_model) if cross else {},
            draw.linear("fc1", config.d_model, inner),
            draw.linear("fc2", inner, config.d_model),
            draw.norm("final_layer_norm", config.d_model),
        )
    return stack | draw.norm("layernorm_embedding", config.d_model)


def _bart_attention(draw: Draw, name: str, width: int) -> Tensors:
    projections = ("k_proj", "v_proj", "q_proj", "out_proj")
    return {
        **under(name, *(draw.linear(projection, width, width) for projection in projections)),
        **draw.norm(f"{name}_layer_norm", width),
    }

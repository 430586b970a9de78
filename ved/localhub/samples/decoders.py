"""Samples of text decoders, with the names, heads and buffers of real checkpoints.

Token embeddings have one row per token of the tokenizer.
"""

from typing import Any

import numpy as np
from transformers import BartConfig, BertConfig, GPT2Config, RobertaConfig

from ved.localhub.samples.checkpoint import DEFAULT_OPTIONS, SampleCheckpoint, SampleOptions
from ved.localhub.samples.vocabularies import (
    MAX_LENGTH,
    SampleTokenizer,
    bart_tokenizer,
    bert_tokenizer,
    gpt2_tokenizer,
    roberta_tokenizer,
)
from ved.localhub.samples.weights import RandomTensors, Tensors, under

_FIRST_POSITION = 2  # in the position embeddings of RoBERTa (pad id + 1) and BART


def gpt2(options: SampleOptions = DEFAULT_OPTIONS) -> SampleCheckpoint:
    """Build a GPT-2 like openai-community/gpt2: no prefix, and causal masks as float buffers."""
    tokenizer = gpt2_tokenizer()
    config = options.build_config(
        GPT2Config,
        vocab_size=tokenizer.size,
        n_positions=MAX_LENGTH,
        bos_token_id=tokenizer.size - 1,
        eos_token_id=tokenizer.size - 1,
    )
    random = RandomTensors(options.seed)
    base = {
        **random.embedding("wte", config.vocab_size, config.n_embd),
        **random.embedding("wpe", config.n_positions, config.n_embd),
        **_gpt2_layers(random, config),
        **random.norm("ln_f", config.n_embd),
    }
    return SampleCheckpoint(
        options=options,
        config=config,
        base=base,
        # The real config.json names the class with the head, and its weights have no prefix.
        base_architecture="GPT2LMHeadModel",
        heads={"lm_head.weight": base["wte.weight"]},
        head_architecture="GPT2LMHeadModel",
        prefix="transformer",
        has_heads=False,
        license="mit",
        language="en",
        tokenizer=tokenizer,
        has_generation_config=True,
    )


def bert(options: SampleOptions = DEFAULT_OPTIONS) -> SampleCheckpoint:
    """Build a BERT like google-bert/bert-base-uncased, with both heads of its pretraining.

    Layer norms have a gamma and a beta, and there are no bos and eos tokens. Unlike the real
    checkpoint it has position_ids, as many BERT checkpoints that transformers saved.
    """
    tokenizer = bert_tokenizer()
    config = options.build_config(
        BertConfig,
        vocab_size=tokenizer.size,
        intermediate_size=4 * options.hidden_size,
        max_position_embeddings=MAX_LENGTH,
    )
    width, random = config.hidden_size, RandomTensors(options.seed)
    base = _bert_base(random, config) | random.linear("pooler.dense", width, width)
    bias = random.small(config.vocab_size)
    predictions = {
        "bias": bias,
        **random.linear("transform.dense", width, width),
        **random.norm("transform.LayerNorm", width),
        "decoder.weight": base["embeddings.word_embeddings.weight"],
        "decoder.bias": bias,
    }
    heads = under(
        "cls", under("predictions", predictions), random.linear("seq_relationship", width, 2)
    )
    return SampleCheckpoint(
        options=options,
        config=config,
        base=_with_old_layer_norms(base),
        base_architecture="BertModel",
        heads=_with_old_layer_norms(heads),
        head_architecture="BertForMaskedLM",
        prefix="bert",
        has_heads=True,
        license="apache-2.0",
        language="en",
        tokenizer=tokenizer,
    )


def roberta(options: SampleOptions = DEFAULT_OPTIONS) -> SampleCheckpoint:
    """Build a RoBERTa like FacebookAI/roberta-base: with position_ids, without a pooler."""
    return build_roberta(options, RobertaConfig, roberta_tokenizer())


def build_roberta(
    options: SampleOptions, config_class: Any, tokenizer: SampleTokenizer, *, pooler: bool = False
) -> SampleCheckpoint:
    """Build a checkpoint with the tensors of RoBERTa.

    Args:
        options: the options.
        config_class: the config class of RoBERTa, or of a family with the same tensors.
        tokenizer: the tokenizer.
        pooler: whether the base model has a pooler.
    """
    config = options.build_config(
        config_class,
        vocab_size=tokenizer.size,
        intermediate_size=4 * options.hidden_size,
        max_position_embeddings=_FIRST_POSITION + MAX_LENGTH,
        type_vocab_size=1,
    )
    width, random = config.hidden_size, RandomTensors(options.seed)
    base = _bert_base(random, config)
    if pooler:
        base |= random.linear("pooler.dense", width, width)
    bias = random.small(config.vocab_size)
    head = {
        "bias": bias,
        **random.linear("dense", width, width),
        **random.norm("layer_norm", width),
        "decoder.weight": base["embeddings.word_embeddings.weight"],
        "decoder.bias": bias,
    }
    name = config_class.__name__.removesuffix("Config")
    return SampleCheckpoint(
        options=options,
        config=config,
        base=base,
        base_architecture=f"{name}Model",
        heads=under("lm_head", head),
        head_architecture=f"{name}ForMaskedLM",
        prefix="roberta",
        has_heads=True,
        license="mit",
        language="en",
        tokenizer=tokenizer,
    )


def bart(options: SampleOptions = DEFAULT_OPTIONS) -> SampleCheckpoint:
    """Build a BART with its encoder, with the names of facebook/bart-large-cnn.

    Its token embeddings, `model.shared.weight`, are tied to encoder, decoder and head.
    """
    return build_bart(options, BartConfig, bart_tokenizer())


def build_bart(
    options: SampleOptions,
    config_class: Any,
    tokenizer: SampleTokenizer,
    *,
    last_norm: bool = False,
    **family: Any,
) -> SampleCheckpoint:
    """Build a checkpoint with the tensors of BART.

    Args:
        options: the options.
        config_class: the config class of BART, or of a family with the same tensors.
        tokenizer: the tokenizer.
        last_norm: whether a norm follows the last layer of each half.
        family: values of the family for config.json.
    """
    inner = 4 * options.hidden_size
    config = options.build_config(
        config_class,
        vocab_size=tokenizer.size,
        max_position_embeddings=MAX_LENGTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=inner,
        decoder_ffn_dim=inner,
        **family,
    )
    random = RandomTensors(options.seed)
    shared = random.small(config.vocab_size, config.d_model)
    layers = config.encoder_layers, config.decoder_layers
    base = {
        "shared.weight": shared,
        **under("encoder", _bart_stack(random, config, shared, layers[0])),
        **under("decoder", _bart_stack(random, config, shared, layers[1], cross=True)),
    }
    if last_norm:
        base |= random.norm("encoder.layer_norm", config.d_model)
        base |= random.norm("decoder.layer_norm", config.d_model)
    name = config_class.__name__.removesuffix("Config")
    return SampleCheckpoint(
        options=options,
        config=config,
        base=base,
        base_architecture=f"{name}Model",
        heads={
            "final_logits_bias": random.small(1, config.vocab_size),
            "lm_head.weight": shared,
        },
        head_architecture=f"{name}ForConditionalGeneration",
        prefix="model",
        has_heads=True,
        license="apache-2.0",
        language="en",
        tokenizer=tokenizer,
        has_generation_config=True,
    )


def _gpt2_layers(random: RandomTensors, config: Any) -> Tensors:
    """Return the layers. Unlike in other families, linear weights are (inputs, outputs)."""
    width = config.n_embd
    mask = np.tril(np.ones((1, 1, config.n_positions, config.n_positions), np.float32))
    layers: Tensors = {}
    for number in range(config.n_layer):
        layers |= under(
            f"h.{number}",
            random.norm("ln_1", width),
            {"attn.bias": mask.copy()},  # one array would count as tied
            _conv1d(random, "attn.c_attn", width, 3 * width),
            _conv1d(random, "attn.c_proj", width, width),
            random.norm("ln_2", width),
            _conv1d(random, "mlp.c_fc", width, 4 * width),
            _conv1d(random, "mlp.c_proj", 4 * width, width),
        )
    return layers


def _conv1d(random: RandomTensors, name: str, inputs: int, outputs: int) -> Tensors:
    return {f"{name}.weight": random.small(inputs, outputs), f"{name}.bias": random.small(outputs)}


def _bert_base(random: RandomTensors, config: Any) -> Tensors:
    """Return the embeddings and layers of BERT and RoBERTa."""
    width = config.hidden_size
    base = under(
        "embeddings",
        {"position_ids": np.arange(config.max_position_embeddings)[None]},
        random.embedding("word_embeddings", config.vocab_size, width),
        random.embedding("position_embeddings", config.max_position_embeddings, width),
        random.embedding("token_type_embeddings", config.type_vocab_size, width),
        random.norm("LayerNorm", width),
    )
    for number in range(config.num_hidden_layers):
        base |= under(f"encoder.layer.{number}", _bert_layer(random, config))
    return base


def _bert_layer(random: RandomTensors, config: Any) -> Tensors:
    width, inner = config.hidden_size, config.intermediate_size
    return {
        **under(
            "attention.self",
            *(random.linear(name, width, width) for name in ("query", "key", "value")),
        ),
        **random.linear("attention.output.dense", width, width),
        **random.norm("attention.output.LayerNorm", width),
        **random.linear("intermediate.dense", width, inner),
        **random.linear("output.dense", inner, width),
        **random.norm("output.LayerNorm", width),
    }


def _with_old_layer_norms(tensors: Tensors) -> Tensors:
    """Return the tensors with the names that the conversion from TensorFlow gave to layer norms."""
    return {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in tensors.items()
    }


def _bart_stack(
    random: RandomTensors, config: Any, shared: np.ndarray, layer_count: int, *, cross: bool = False
) -> Tensors:
    """Return the encoder, or the decoder with cross-attention."""
    positions = _FIRST_POSITION + config.max_position_embeddings
    stack = {
        "embed_tokens.weight": shared,
        **random.embedding("embed_positions", positions, config.d_model),
    }
    inner = config.decoder_ffn_dim if cross else config.encoder_ffn_dim
    for number in range(layer_count):
        stack |= under(
            f"layers.{number}",
            _bart_attention(random, "self_attn", config.d_model),
            _bart_attention(random, "encoder_attn", config.d_model) if cross else {},
            random.linear("fc1", config.d_model, inner),
            random.linear("fc2", inner, config.d_model),
            random.norm("final_layer_norm", config.d_model),
        )
    return stack | random.norm("layernorm_embedding", config.d_model)


def _bart_attention(random: RandomTensors, name: str, width: int) -> Tensors:
    projections = ("k_proj", "v_proj", "q_proj", "out_proj")
    return {
        **under(name, *(random.linear(projection, width, width) for projection in projections)),
        **random.norm(f"{name}_layer_norm", width),
    }

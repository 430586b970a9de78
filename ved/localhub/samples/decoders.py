"""Samples of text decoders, with the names, heads and buffers of real checkpoints.

Token embeddings have one row per token of the tokenizer.
"""

from typing import Any

import numpy as np

from ved.localhub.samples.checkpoint import DEFAULT_OPTIONS, SampleCheckpoint, SampleOptions
from ved.localhub.samples.formats import FORMATS, ConfigForm
from ved.localhub.samples.vocabularies import (
    MAX_LENGTH,
    SampleTokenizer,
    bert_tokenizer,
    gpt2_tokenizer,
    roberta_tokenizer,
)
from ved.localhub.samples.weights import RandomTensors, Tensors, under

_FIRST_POSITION = 2  # in the position embeddings of RoBERTa: pad id + 1


def gpt2(options: SampleOptions = DEFAULT_OPTIONS) -> SampleCheckpoint:
    """Build a GPT-2 like openai-community/gpt2: no prefix, and causal masks as float buffers."""
    tokenizer = gpt2_tokenizer()
    config = options.build_config(
        FORMATS.configs["GPT2"],
        vocab_size=tokenizer.size,
        n_positions=MAX_LENGTH,
        bos_token_id=tokenizer.size - 1,
        eos_token_id=tokenizer.size - 1,
    )
    random = RandomTensors(options.seed, config.initializer_range)
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
        FORMATS.configs["Bert"],
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
    return build_roberta(options, FORMATS.configs["Roberta"], roberta_tokenizer())


def build_roberta(
    options: SampleOptions, form: ConfigForm, tokenizer: SampleTokenizer, *, pooler: bool = False
) -> SampleCheckpoint:
    """Build a checkpoint with the tensors of RoBERTa.

    Args:
        options: the options.
        form: the class of configs of RoBERTa, or of a family with the same tensors.
        tokenizer: the tokenizer.
        pooler: whether the base model has a pooler.
    """
    config = options.build_config(
        form,
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
    return SampleCheckpoint(
        options=options,
        config=config,
        base=base,
        base_architecture=f"{form.name}Model",
        heads=under("lm_head", head),
        head_architecture=f"{form.name}ForMaskedLM",
        prefix="roberta",
        has_heads=True,
        license="mit",
        language="en",
        tokenizer=tokenizer,
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

"""Samples of BART, and of families with the same tensors."""

from typing import Any

import numpy as np

from ved.localhub.samples.checkpoint import DEFAULT_OPTIONS, SampleCheckpoint, SampleOptions
from ved.localhub.samples.formats import FORMATS, ConfigForm
from ved.localhub.samples.vocabularies import MAX_LENGTH, SampleTokenizer, bart_tokenizer
from ved.localhub.samples.weights import RandomTensors, Tensors, under

_FIRST_POSITION = 2  # in the position embeddings


def bart(options: SampleOptions = DEFAULT_OPTIONS) -> SampleCheckpoint:
    """Build a BART with its encoder, with the names of facebook/bart-large-cnn.

    Its token embeddings, `model.shared.weight`, are tied to encoder, decoder and head.
    """
    return build_bart(options, FORMATS.configs["Bart"], bart_tokenizer())


def build_bart(
    options: SampleOptions,
    form: ConfigForm,
    tokenizer: SampleTokenizer,
    *,
    last_norm: bool = False,
    **family: Any,
) -> SampleCheckpoint:
    """Build a checkpoint with the tensors of BART.

    Args:
        options: the options.
        form: the class of configs of BART, or of a family with the same tensors.
        tokenizer: the tokenizer.
        last_norm: whether a norm follows the last layer of each half.
        family: values of the family for config.json.
    """
    inner = 4 * options.hidden_size
    config = options.build_config(
        form,
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
    return SampleCheckpoint(
        options=options,
        config=config,
        base=base,
        base_architecture=f"{form.name}Model",
        heads={
            "final_logits_bias": random.small(1, config.vocab_size),
            "lm_head.weight": shared,
        },
        head_architecture=f"{form.name}ForConditionalGeneration",
        prefix="model",
        has_heads=True,
        license="apache-2.0",
        language="en",
        tokenizer=tokenizer,
        has_generation_config=True,
    )


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

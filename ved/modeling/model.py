"""The class with which people train and serve checkpoints in Flax.

    from ved.modeling import FlaxVisionEncoderDecoderModel

    model = FlaxVisionEncoderDecoderModel.from_pretrained("owner/checkpoint")
    tokens = model.generate(pixel_values, max_new_tokens=16).sequences

It has the interface of transformers' class of that name, and loads and saves its checkpoints.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ved.modeling import calls, pretrained
from ved.modeling.calls import DecodeOutput
from ved.modeling.composite import CompositeOutput, VisionEncoderDecoderModule, empty_cache
from ved.modeling.config import Config, read_settings
from ved.modeling.errors import ModelingError
from ved.modeling.families import decoder_settings, encoder_settings
from ved.modeling.loading import fetch, load_checkpoint
from ved.modeling.precision import CastingModel
from ved.modeling.saving import SavedModel
from ved.modeling.stack import StackOutput
from ved.modeling.text_generation import GeneratingModel


class FlaxVisionEncoderDecoderModel(GeneratingModel, SavedModel, CastingModel):
    """A vision encoder and a text decoder that reads from it, with the numbers of PyTorch.

    Args:
        config: the config, as `Config`, as dictionaries, or as an object of transformers.
        seed: the seed of new parameters. They are those of transformers' class.
        dtype: the dtype of the computation. Parameters have their own.
        params: the parameters; None draws new ones.
        remat: whether training computes the inside of each layer twice, to save memory.

    Attributes:
        config: the config.
        generation_config: the settings of `generate`, by name.
        module: the Linen module.
        dtype: the dtype of the computation.
        params: the parameters, nested dictionaries. They can be set.

    Raises:
        ModelingError: the config has a setting that is not computed.
    """

    def __init__(
        self,
        config: Any,
        seed: int = 0,
        dtype: Any = jnp.float32,
        *,
        params: Any = None,
        remat: bool = False,
    ) -> None:
        values = config if isinstance(config, Mapping) else config.to_dict()
        self.config = Config(values)
        self.generation_config: dict[str, Any] = pretrained.generation_settings(values)
        self.dtype = jnp.dtype(dtype)
        self.module = VisionEncoderDecoderModule(
            encoder_settings(values["encoder"]),
            decoder_settings(values["decoder"]),
            dtype=self.dtype,
            remat=remat,
        )
        self.params = pretrained.new_params(self.module, seed) if params is None else params

    @classmethod
    def from_pretrained(
        cls,
        repo: str | Path,
        dtype: Any = jnp.float32,
        *,
        revision: str | None = None,
        param_dtype: Any = None,
        sharding: Any = None,
        remat: bool = False,
        **options: Any,
    ) -> Self:
        """Return a model with the parameters of a checkpoint. Nothing is drawn at random.

        Args:
            repo: the id of a repo on the Hub, or a directory.
            dtype: the dtype of the computation.
            revision: a branch, a tag or a commit of the repo; None: the default branch.
            param_dtype: the dtype of the parameters; None: that of the checkpoint.
            sharding: where to put the parameters: a `jax.sharding.Sharding` for all, or nested
                dictionaries of them as the parameters; None: the default device.
            remat: whether training computes the inside of each layer twice, to save memory.
            **options: those of `huggingface_hub.hf_hub_download`; `seed` is accepted and ignored.

        Raises:
            ModelingError: the checkpoint is not one of these models, or it is damaged.
            OSError: the repo cannot be read.
        """
        options.pop("seed", None)
        directory = fetch(repo, revision=revision, **options)
        config = pretrained.composite_config(directory, repo)
        model = cls(config, dtype=dtype, params={}, remat=remat)
        shapes = pretrained.shapes(model.module)
        model.params = load_checkpoint(directory, shapes, param_dtype, sharding)
        model.generation_config |= read_settings(directory / "generation_config.json")
        return model

    @classmethod
    def from_encoder_decoder_pretrained(
        cls,
        encoder: str | Path,
        decoder: str | Path,
        dtype: Any = jnp.float32,
        *,
        encoder_revision: str | None = None,
        decoder_revision: str | None = None,
        decoder_seed: int = 0,
        **options: Any,
    ) -> Self:
        """Return a model of two pretrained parts.

        Cross-attention, and other parameters that the parts lack, are drawn at random: they have to
        be trained. VED publishes such checkpoints with everything else that they need.

        Args:
            encoder: the id of a repo on the Hub, or a directory.
            decoder: as the encoder.
            dtype: the dtype of the computation.
            encoder_revision: a branch, a tag or a commit; None: the default branch.
            decoder_seed: the seed of what is drawn for the decoder.
            **options: see `from_pretrained`.

        Raises:
            ModelingError: a part is of an unknown family, or lacks a parameter of its own.
            OSError: a repo cannot be read.
        """
        directories = {
            "encoder": fetch(encoder, revision=encoder_revision, **options),
            "decoder": fetch(decoder, revision=decoder_revision, **options),
        }
        config = pretrained.joined_config(directories)
        model = cls(config, dtype=dtype, params={})
        model.params = pretrained.joined_params(model.module, directories, decoder_seed)
        return model

    def __call__(
        self,
        pixel_values: ArrayLike,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        decoder_position_ids: ArrayLike | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        train: bool = False,
        params: Any = None,
        dropout_rng: jax.Array | None = None,
    ) -> CompositeOutput:
        """Return the logits of all tokens at once, as training needs them.

        Args:
            pixel_values: float (batch, channels, height, width).
            decoder_input_ids: int32 (batch, tokens).
            decoder_attention_mask: int32 (batch, tokens), 0 for tokens that no token may read; all
                1 by default.
            decoder_position_ids: int32 (batch, tokens), rows of the decoder's position embeddings;
                those of PyTorch by default.
            output_attentions: whether to return the weights of attentions.
            output_hidden_states: whether to return the states between layers.
            return_dict: False returns a plain tuple, without what is None.
            train: whether there is dropout.
            params: parameters to use instead of `self.params`.
            dropout_rng: the key of dropout.

        Returns:
            An output with `logits`: (batch, tokens, vocabulary). It is a pytree.

        Raises:
            ModelingError: there are no decoder_input_ids, or no dropout_rng for training.
        """
        if decoder_input_ids is None:
            raise ModelingError("Pass decoder_input_ids: the start token, and then the labels.")
        output = self.module.apply(
            self._variables(params),
            jnp.asarray(pixel_values),
            jnp.asarray(decoder_input_ids, jnp.int32),
            calls.integers(decoder_attention_mask),
            calls.integers(decoder_position_ids),
            **self._options(output_attentions, output_hidden_states, dropout_rng, train=train),
        )
        return calls.returned(output, return_dict)

    def encode(
        self,
        pixel_values: ArrayLike,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        train: bool = False,
        params: Any = None,
        dropout_rng: jax.Array | None = None,
    ) -> StackOutput:
        """Return the output of the encoder, for `decode` and `generate`; see `__call__`.

        Returns:
            An output with `last_hidden_state`: (batch, sources, width). It is a pytree.
        """
        output = self.module.apply(
            self._variables(params),
            jnp.asarray(pixel_values),
            **self._options(output_attentions, output_hidden_states, dropout_rng, train=train),
            method="encode",
        )
        return calls.returned(output, return_dict)

    def decode(
        self,
        decoder_input_ids: ArrayLike,
        encoder_outputs: Any,
        decoder_attention_mask: ArrayLike | None = None,
        decoder_position_ids: ArrayLike | None = None,
        past_key_values: dict[str, Any] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        train: bool = False,
        params: Any = None,
        dropout_rng: jax.Array | None = None,
    ) -> DecodeOutput:
        """Return the logits of tokens that follow those in the cache.

        See `__call__` for the other arguments.

        Args:
            decoder_input_ids: int32 (batch, tokens).
            encoder_outputs: the result of `encode`.
            decoder_attention_mask: int32 (batch, tokens); with a cache, (batch, cache length).
            decoder_position_ids: see `__call__`.
            past_key_values: the cache: the result of `init_cache`, or `past_key_values` of the call
                before. Without it, the tokens are the first ones.

        Returns:
            An output with `logits`: (batch, tokens, vocabulary), and with the new cache as
            `past_key_values` if there was one. It is a pytree.
        """
        cache = {"cache": past_key_values} if past_key_values else {}
        output, changed = self.module.apply(
            self._variables(params) | cache,
            jnp.asarray(decoder_input_ids, jnp.int32),
            encoder_outputs[0],
            calls.integers(decoder_attention_mask),
            calls.integers(decoder_position_ids),
            past=pretrained.cache_length(past_key_values) if past_key_values else 0,
            **self._options(output_attentions, output_hidden_states, dropout_rng, train=train),
            method="decode",
            mutable=["cache"] if past_key_values else [],
        )
        return calls.returned(
            DecodeOutput(output[0], changed.get("cache"), *output[1:]), return_dict
        )

    def init_cache(self, batch_size: int, max_length: int, encoder_outputs: Any) -> dict[str, Any]:
        """Return an empty cache for `decode`.

        Args:
            batch_size: how many texts.
            max_length: how many tokens each text can have.
            encoder_outputs: not used; transformers' class needs it.

        Returns:
            Nested dictionaries with the keys and values of every layer.
        """
        del encoder_outputs
        return dict(empty_cache(self.module, batch_size, max_length))

    def _variables(self, params: Any) -> dict[str, Any]:
        return {"params": self.params if params is None else params}

    def _options(
        self,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        dropout_rng: jax.Array | None,
        *,
        train: bool,
    ) -> dict[str, Any]:
        """Return what every method of the module gets besides its inputs; see `__call__`."""
        return {
            "deterministic": not train,
            "output_attentions": self._wants("output_attentions", output_attentions),
            "output_hidden_states": self._wants("output_hidden_states", output_hidden_states),
            "rngs": calls.rngs(dropout_rng, train=train),
        }

    def _wants(self, name: str, asked: bool | None) -> bool:
        """Return whether an output is asked for, here or in the config."""
        return bool(getattr(self.config, name, False) if asked is None else asked)

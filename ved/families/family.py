"""The facts that VED needs about one encoder or decoder family."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from ved.families.config_class import ConfigClass
from ved.families.setting import Setting

Role = Literal["encoder", "decoder"]


def _always(_: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True)
class Twin:
    """How a checkpoint of one family becomes one of another family, which computes the same.

    Attributes:
        of: the `model_type` of the other family, which the checkpoint has.
        prefix: the base model's name in the source; empty if it is that of the other family.
        accepts: whether the two compute the same with the settings of a config.
        setting_names: the other family's names of settings, by their names in the source.
        defaults: settings of the other family whose value in a config that lacks them is not the
            default of the other family's class. Source: both configuration classes.
        tensor_names: parts of names of tensors, each with the other family's. Parts match within
            `.` + name.
        zeros: the names of parameters of the other family that have to be zero, because the source
            computes without them.
    """

    of: str
    prefix: str = ""
    accepts: Callable[[Mapping[str, Any]], bool] = _always
    setting_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tensor_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    zeros: tuple[str, ...] = ()

    def config(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a source as those of the other family.

        Args:
            settings: the published settings of the source.
        """
        renamed = {self.setting_names.get(name, name): value for name, value in settings.items()}
        renamed.pop("architectures", None)  # they name a class of the source's family
        return {**self.defaults, **renamed, "model_type": self.of}

    def tensor_name(self, name: str) -> str:
        """Return the other family's name of a tensor, without a prefix."""
        dotted = f".{name.removeprefix(f'{self.prefix}.')}"
        for part, other in self.tensor_names.items():
            dotted = dotted.replace(part, other)
        return dotted[1:]


@dataclass(frozen=True)
class Family:
    """One family of checkpoints: those whose config.json has the same `model_type`.

    Tensor names are those of transformers' PyTorch class for the family, without `prefix`:
    `h.0.attn.c_attn.weight`, never `transformer.h.0.attn.c_attn.weight`. Parts of names match
    within `.` + name, so that `.pooler.` matches the beginning of `pooler.dense.weight`.
    """

    prefix: str
    """The base model's name, which some checkpoints have before each of its tensors, followed by a
    dot, and others omit. Source: `base_model_prefix` of the PyTorch class."""

    config_class: ConfigClass
    """The settings of the published config besides those in `ved.modeling`."""

    optional: tuple[str, ...] = ()
    """Beginnings of the names of parameters that published checkpoints may lack. Missing ones are
    randomly initialized, with a warning."""

    cross_attention: tuple[str, ...] = ()
    """Parts of the names of a decoder's cross-attention parameters. Most sources lack them. Missing
    ones are randomly initialized."""

    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """For the name of a tied tensor, the other names that it can be stored under, best first.
    Source: `_tied_weights_keys` of the PyTorch class."""

    head: str = ""
    """The name of the weight of a decoder's language-model head. It is a parameter of its own only
    if the config has `tie_word_embeddings: false`. Source: `_tied_weights_keys` of the PyTorch
    class."""

    starts_with_last: bool = False
    """Whether a decoder whose files name no start token starts with the last token of each encoded
    text, such as the code of its language. Source: `shift_tokens_right` of the PyTorch module."""

    begins_with_eos: bool = False
    """Whether the family's own tokenizer puts the eos token before each text: the card's code then
    leaves it out of the labels. Source: the tokenizer's class."""

    head_biases: tuple[str, str] | None = None
    """Two names of the bias of the language-model head. They are one parameter in Flax. In PyTorch,
    transformers 5 computes with the second one, and ties it to the first one only if it ties the
    weight, too. Source: as `head`."""

    unused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Parts of the names of tensors that the Flax model does not use, each with the reason. The
    reason is published in ved.json and in the card."""

    settings: Mapping[str, Setting] = field(default_factory=lambda: MappingProxyType({}))
    """The settings of the config that VED knows; see `ved.families.settings`."""

    layers: str = "num_hidden_layers"
    """The config's name for the number of layers, of the decoder where the model has both halves.
    An encoder with stages has a list, with a number for each stage. Source: the family's
    configuration class."""

    heads: str = "num_attention_heads"
    """The config's name for the number of attention heads per layer; a list as for `layers`."""

    buffers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """For the end of a parameter's path, that of the buffer which transformers 4.57 stores beside
    it, and misses in a file without it. `buffers` of the settings in `ved.modeling` has the
    numbers. Source: `register_buffer` in the PyTorch class."""

    generate_fails: str = ""
    """Why `generate` of transformers' own Flax class fails with this decoder; empty if it works.
    Markdown for the end of a sentence in the card."""

    flax_differs: str = ""
    """Why logits of transformers' own Flax class differ from PyTorch's; empty if they do not.
    Markdown for the end of a sentence in the card."""

    has_flax_class: bool = True
    """Whether transformers 4.57 has a Flax class of the family that loads in a vision
    encoder-decoder model. `ved.modeling` has one of every family."""

    counts_from_pad: bool = False
    """Whether the decoder's first token has position `pad_token_id + 1` instead of 0. Source:
    `create_position_ids_from_input_ids` of RoBERTa."""

    takes_any_size: bool = False
    """Whether the encoder takes images whose size is not the config's `image_size`."""

    other_sizes: str = "position embeddings are interpolated"
    """A clause about such images, for a notice in the plan, if the encoder takes them."""

    needs_whole_windows: bool = False
    """Whether PyTorch fails with images that have less than a window in the last stage."""

    tokenizers: tuple[str, ...] = ()
    """The classes that a decoder's tokenizer may have, without the suffix `Fast`. The first one is
    the class of a tokenizer that names none."""

    image_processors: tuple[str, ...] = ()
    """The classes that an encoder's image processor may have, without the suffix `Fast`. The first
    one is the class of an image processor that names none."""

    twin: Twin | None = None
    """How a checkpoint becomes one of another family; None if it keeps its family. All names above,
    except those of `settings`, are then those of the other family."""

    def not_in_flax_class(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of settings that transformers' own Flax class does not compute.

        Args:
            config: the content of a config.json whose settings are all supported.
        """
        return tuple(
            name
            for name, setting in self.settings.items()
            if name in config and not setting.flax_class_computes(config[name])
        )

"""The facts that VED needs about one encoder or decoder family."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Role = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class Family:
    """One family of checkpoints.

    Names are PyTorch's, without `prefix`: `h.0.attn.c_attn.weight`, never
    `transformer.h.0.attn.c_attn.weight`.
    """

    prefix: str
    """What some checkpoints put before every tensor of the base model, and others leave out."""

    optional: tuple[str, ...] = ()
    """Starts of the names that real checkpoints may lack; such parameters are drawn fresh."""

    cross_attention: tuple[str, ...] = ()
    """Parts of a name that mark a decoder's cross-attention; absent from most sources. A name
    begins with a dot here."""

    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """For a name, other names that hold the same (tied) tensor, best first."""

    unused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Parts of the names of tensors that the Flax model has no use for, and why not. As in
    `cross_attention`, a name begins with a dot here."""

    requires: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """Settings of its config that Flax ignores, and the one value that it computes with."""

    layers: str = "num_hidden_layers"
    """What its config calls the number of layers of the part that is used."""

    heads: str = "num_attention_heads"
    """What its config calls the number of attention heads in one of them."""

    generate_fails: str = ""
    """Why `generate` of transformers' own Flax class fails with this decoder; empty where it works.
    Words for the end of a sentence in Markdown."""

    flax_differs: str = ""
    """How the logits of transformers' own Flax class come to differ from PyTorch's; empty where
    they do not. Words for the end of a sentence in Markdown."""

    counts_from_pad: bool = False
    """Whether a decoder's first token has the position after its pad token's id."""

    takes_any_size: bool = False
    """Whether an encoder fits its position embeddings to images of another size than its own."""

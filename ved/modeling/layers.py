"""The layers that all families share: attention, and what belongs to it.

Attention lets each state read from other states. Each state has a query, and each state that can be
read has a key and a value. The more a query resembles a key, the more of that value it gets:

    weights = softmax(query @ key.T / sqrt(width of a head))
    result  = weights @ value

In an encoder, each patch of the image reads from all patches. A decoder has two attentions. In
*self-attention*, each token reads from itself and the tokens before it (`causal`). In
*cross-attention*, each token reads from the patches: the query comes from the text, key and value
come from the encoder. This is how a text depends on an image.

Generation computes one token at a time, and two collections of variables save work:

- `cache` has the keys and values of the tokens before, in each self-attention. It changes with each
  token. It is used if it is among the variables. If it is not there and is mutable, it is created
  empty, for as many tokens as the call has; later calls fill it.
- `cross` has the keys and values of the image, in each cross-attention. It does not change, so it
  stays outside of the loop. If it is among the variables, it is used, and `source` is not. If it is
  not there and is mutable, a call with `source` computes it and keeps it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ved.modeling.linen import Conv, Dense, Module, compact, dot_product_attention_weights

Initializer = Callable[..., jax.Array]
Dtype = Any


class Attention(Module):
    """Attention with several heads.

    Attributes:
        width: of the states that read, and of the result.
        heads: how many heads share the width.
        kernel_init: initializes the kernels of the projections.
        names: the names of the projections to queries, keys and values.
        use_bias: whether each projection has a bias.
        dropout_rate: the probability that training ignores a weight.
        causal: whether a state reads only from itself and the states before it.
        scale: what products of queries and keys are multiplied by; None divides them by the square
            root of the width of a head.
        dtype: the dtype of the computation.
    """

    width: int
    heads: int
    kernel_init: Initializer | None = None
    names: tuple[str, str, str] = ("query", "key", "value")
    use_bias: tuple[bool, bool, bool] = (True, True, True)
    dropout_rate: float = 0.0
    causal: bool = False
    scale: float | None = None
    dtype: Dtype = jnp.float32

    @compact
    def __call__(
        self,
        states: jax.Array,
        source: jax.Array | None = None,
        mask: jax.Array | None = None,
        bias: jax.Array | None = None,
        deterministic: bool = True,
    ) -> tuple[jax.Array, jax.Array]:
        """Return what each state reads, and the weights.

        Args:
            states: (batch, states, width), the states that read.
            source: (batch, sources, any width), the states that are read in cross-attention; None
                if the states read from themselves, or if the collection `cross` has their keys.
            mask: int (batch, sources), 0 for those that no state may read; with a cache,
                (batch, length of the cache).
            bias: added before softmax: broadcasts to (batch, heads, states, sources).
            deterministic: whether there is no dropout.

        Returns:
            (batch, states, width) and (batch, heads, states, sources).
        """
        split = (*states.shape[:2], self.heads, -1)
        if self.has_variable("cross", "key"):
            query = self.project(states, 0).reshape(split)
            key = self.get_variable("cross", "key")
            value = self.get_variable("cross", "value")
        else:
            query, key, value = self.project_all(states, source)
            query = query.reshape(split)  # (batch, states, heads, width of a head)
            key = key.reshape(*key.shape[:2], self.heads, -1)
            value = value.reshape(key.shape)  # (batch, sources, heads, width of a head)
            if source is not None and self.is_mutable_collection("cross"):
                self.put_variable("cross", "key", key)
                self.put_variable("cross", "value", value)
        first: jax.Array | int = 0
        if self.causal and (
            self.has_variable("cache", "cached_key") or self.is_mutable_collection("cache")
        ):
            key, value, first = self._append_to_cache(key, value)
        bias = _add_masks(
            self.add_bias(bias), mask, self._causal_mask(query, key, first), self.dtype
        )
        if self.scale is not None:  # the function below divides by the root of the width
            query = query * (self.scale * query.shape[-1] ** 0.5)
        weights = dot_product_attention_weights(
            query,
            key,
            bias,
            dropout_rng=None
            if deterministic or not self.dropout_rate
            else self.make_rng("dropout"),
            dropout_rate=self.dropout_rate,
            deterministic=deterministic,
            dtype=self.dtype,
        )  # (batch, heads, states, sources)
        read = jnp.einsum("...hqk,...khd->...qhd", weights, value)
        read = read.reshape(states.shape)  # (batch, states, width): the heads side by side
        return self.output(read, deterministic), weights

    def project_all(
        self, states: jax.Array, source: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries, keys and values; GPT-2 has one kernel for several of them."""
        if source is None:
            source = states
        return self.project(states, 0), self.project(source, 1), self.project(source, 2)

    def project(self, states: jax.Array, which: int) -> jax.Array:
        """Return the queries (0), keys (1) or values (2) of states."""
        projection = Dense(
            self.width,
            use_bias=self.use_bias[which],
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name=self.names[which],
        )
        return projection(states)

    def add_bias(self, bias: jax.Array | None) -> jax.Array | None:
        """Return a bias with that of this attention, if it has one."""
        return bias

    def output(self, read: jax.Array, deterministic: bool) -> jax.Array:
        """Return what was read, projected again; some families do this outside of this module."""
        return read

    def _append_to_cache(
        self, key: jax.Array, value: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Write keys and values behind those in the cache.

        Returns:
            All keys and values of the cache, and the position of the first new one: int32 ().
        """
        there = self.has_variable("cache", "cached_key")
        keys = self.variable("cache", "cached_key", jnp.zeros, key.shape, key.dtype)
        values = self.variable("cache", "cached_value", jnp.zeros, value.shape, value.dtype)
        index = self.variable("cache", "cache_index", lambda: jnp.array(0, jnp.int32))
        first = index.value
        if not there:  # a new cache has room for the tokens of this call, and is empty
            return key, value, first
        start = (0, first, 0, 0)
        keys.value = jax.lax.dynamic_update_slice(keys.value, key, start)
        values.value = jax.lax.dynamic_update_slice(values.value, value, start)
        index.value = first + key.shape[1]
        return keys.value, values.value, first

    def _causal_mask(
        self, query: jax.Array, key: jax.Array, first: jax.Array | int
    ) -> jax.Array | None:
        """Return which states may read from which: bool (states, sources)."""
        if not self.causal:
            return None
        positions = first + jnp.arange(query.shape[1])
        return jnp.arange(key.shape[1]) <= positions[:, None]


class ProjectedAttention(Attention):
    """Attention with a projection after it, in the same module.

    Attributes:
        output_name: the name of the projection.
        output_bias: whether it has a bias.
    """

    output_name: str = "out_proj"
    output_bias: bool = True

    def output(self, read: jax.Array, deterministic: bool) -> jax.Array:
        """Return (batch, states, width)."""
        assert self.kernel_init is not None
        project = Dense(
            self.width,
            use_bias=self.output_bias,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name=self.output_name,
        )
        return project(read)


def _add_masks(
    bias: jax.Array | None, mask: jax.Array | None, causal: jax.Array | None, dtype: Dtype
) -> jax.Array | None:
    """Return a bias that is as small as possible wherever a state may not read."""
    allowed = causal  # (states, sources)
    if mask is not None:
        sources = mask[:, None, None, :] > 0  # (batch, 1, 1, sources)
        allowed = sources if causal is None else sources & causal
    if allowed is None:
        return bias
    smallest = jnp.finfo(dtype).min  # type: ignore[no-untyped-call]
    masked = jnp.where(allowed, 0.0, smallest).astype(dtype)
    return masked if bias is None else bias + masked


def embed_patches(project: Conv, pixel_values: jax.Array) -> jax.Array:
    """Cut an image into patches, and project the pixels of each patch to one state.

    Args:
        project: a convolution; see `patch_projection`.
        pixel_values: (batch, channels, height, width in pixels).

    Returns:
        (batch, patches, width), row by row.
    """
    pixels = jnp.transpose(pixel_values, (0, 2, 3, 1))  # Flax has the channels last
    patches = project(pixels)  # (batch, rows, columns, width)
    return patches.reshape(patches.shape[0], -1, patches.shape[-1])


def patch_projection(
    width: int,
    patch_size: tuple[int, int],
    kernel_init: Initializer,
    dtype: Dtype,
    name: str,
    use_bias: bool = True,
) -> Conv:
    """Return a convolution whose windows are the patches of an image."""
    return Conv(
        width,
        kernel_size=patch_size,
        strides=patch_size,
        padding="VALID",
        use_bias=use_bias,
        kernel_init=kernel_init,
        dtype=dtype,
        name=name,
    )


class PatchEmbeddings(Module):
    """The states of patches; in a checkpoint, the convolution has a module of its own."""

    width: int
    patch_size: tuple[int, int]
    kernel_init: Initializer
    dtype: Dtype = jnp.float32

    @compact
    def __call__(self, pixel_values: jax.Array) -> jax.Array:
        """Return (batch, patches, width) for pixels; see `embed_patches`."""
        project = patch_projection(
            self.width, self.patch_size, self.kernel_init, self.dtype, "projection"
        )
        return embed_patches(project, pixel_values)


class DropPath(Module):
    """Stochastic depth: training leaves out a layer for some images of a batch.

    Source: https://arxiv.org/abs/1603.09382.
    """

    rate: float

    @compact
    def __call__(self, states: jax.Array, deterministic: bool = True) -> jax.Array:
        """Return the states (batch, ..., width), or zeros for some of the batch."""
        if deterministic or not self.rate:
            return states
        shape = (states.shape[0], *(1,) * (states.ndim - 1))
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return states * kept / (1 - self.rate)

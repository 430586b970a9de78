"""Source checkpoints of real sizes, made on the spot and kept in a directory for the next run."""

from pathlib import Path

from tests import checkpoints

_VIT = {"num_hidden_layers": 12, "image_size": 224, "patch_size": 16}
_GPT2 = {"num_hidden_layers": 12, "n_positions": 1024, "vocab_size": 50257}
_MASKS = tuple(f"h.{layer}.attn.bias" for layer in range(12))


def vit_base(folder: Path) -> Path:
    """Make an encoder of the size of google/vit-base-patch16-224-in21k: 346 MB."""
    directory = folder / "vit-base"
    config = {**_VIT, "num_attention_heads": 12, "intermediate_size": 3072}
    return _made(directory) or checkpoints.vit(directory, hidden_size=768, config=config)


def vit_small(folder: Path, seed: int) -> Path:
    """Make an encoder of the size of WinKawaks/vit-small-patch16-224: 87 MB."""
    directory = folder / f"vit-small-{seed}"
    config = {**_VIT, "num_attention_heads": 6}
    return _made(directory) or checkpoints.vit(directory, hidden_size=384, config=config, seed=seed)


def gpt2(folder: Path, seed: int = 0, *, masks: bool = False) -> Path:
    """Make a decoder of the size of openai-community/gpt2: 498 MB, or 548 MB with causal masks."""
    directory = folder / f"gpt2-{seed}{'-masks' if masks else ''}"
    config = {**_GPT2, "num_attention_heads": 12}
    return _made(directory) or checkpoints.gpt2(
        directory, hidden_size=768, config=config, seed=seed, without=() if masks else _MASKS
    )


def gpt2_half_as_wide(folder: Path, seed: int) -> Path:
    """Make a decoder with GPT-2's layers and vocabulary, at the width of ViT-small: 164 MB."""
    directory = folder / f"gpt2-half-{seed}"
    config = {**_GPT2, "num_attention_heads": 6}
    return _made(directory) or checkpoints.gpt2(
        directory, hidden_size=384, config=config, seed=seed, without=_MASKS
    )


def gpt2_large_and_wide(folder: Path) -> Path:
    """Make a decoder that has 2.4 billion parameters once it has cross-attention: 7.7 GB."""
    directory = folder / "gpt2-2b"
    config = {**_GPT2, "num_hidden_layers": 36, "num_attention_heads": 16}
    return _made(directory) or checkpoints.gpt2(directory, hidden_size=2048, config=config)


def _made(directory: Path) -> Path | None:
    return directory if (directory / "model.safetensors").exists() else None

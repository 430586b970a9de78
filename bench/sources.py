"""Source checkpoints of real sizes, made on the spot and kept in a directory for the next run."""

from pathlib import Path

from ved.localhub import checkpoints

_BASE_LAYERS = {"num_hidden_layers": 12, "num_attention_heads": 12}
_VOCABULARY = 50257


def vit_base(folder: Path) -> Path:
    """Make an encoder of the size of google/vit-base-patch16-224-in21k: 346 MB."""
    config = {**_BASE_LAYERS, "intermediate_size": 3072, "image_size": 224, "patch_size": 16}
    return _made(folder / "vit-base") or checkpoints.vit(
        folder / "vit-base", hidden_size=768, config=config
    )


def gpt2(folder: Path, seed: int = 0, *, masks: bool = False) -> Path:
    """Make a decoder of the size of openai-community/gpt2: 498 MB, or 548 MB with causal masks."""
    directory = folder / f"gpt2-{seed}{'-masks' if masks else ''}"
    config = {**_BASE_LAYERS, "n_positions": 1024, "vocab_size": _VOCABULARY}
    return _made(directory) or checkpoints.gpt2(
        directory,
        hidden_size=768,
        config=config,
        seed=seed,
        without=() if masks else tuple(f"h.{layer}.attn.bias" for layer in range(12)),
    )


def gpt2_large_and_wide(folder: Path) -> Path:
    """Make a decoder that has 2.4 billion parameters once it has cross-attention: 7.7 GB."""
    directory = folder / "gpt2-2b"
    config = {
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "n_positions": 1024,
        "vocab_size": _VOCABULARY,
    }
    return _made(directory) or checkpoints.gpt2(directory, hidden_size=2048, config=config)


def _made(directory: Path) -> Path | None:
    return directory if (directory / "model.safetensors").exists() else None

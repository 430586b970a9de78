"""Publishing over Xet and over LFS: what is sent, how long it takes, and how much memory."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi

from bench import sources
from bench.building import BuildCost, build, manifest_of, publish
from bench.history import Ratio
from bench.hub import OWNER, TOKEN, hub_process

TITLE = "Publishing over Xet and over LFS"

_FILE = "model.safetensors"
_FRESH = ("crossattention", "ln_cross_attn", "enc_to_dec_proj")
"""Parts of the names of newly initialized parameters of GPT-2."""


class _Run(NamedTuple):
    """A build: its cost, the bytes that it sent, and those that were newly initialized."""

    cost: BuildCost
    sent: int
    fresh: int


def measure(kept: Path, folder: Path) -> Iterator[str | Ratio]:
    """Yield what is sent for one pair and for two pairs of a run, as Markdown.

    Args:
        kept: the directory of the sources.
        folder: an empty directory.
    """
    yield (
        "`ved build` from and to a Hub on this machine, ViT-base and GPT-2, model.safetensors. The "
        "fresh bytes are those of the newly initialized parameters. Each build starts with an "
        "empty cache. The further pair has the same encoder and another decoder."
    )
    encoder, decoders = sources.vit_base(kept), [sources.gpt2(kept, seed) for seed in (0, 1)]
    runs: dict[tuple[str, int], _Run] = {}
    with hub_process(folder / "hub", xet=True) as hub:
        publish([encoder, *decoders], hub.endpoint, xet=True)
        for storage, variables in (("Xet", {}), ("LFS", {"HF_HUB_DISABLE_XET": "1"})):
            for count in (1, 2):
                name = f"{storage}-{count}"
                pairs = [(encoder, decoder) for decoder in decoders[:count]]
                manifest = folder / f"{name}.yaml"
                manifest.write_text(_renamed(manifest_of(pairs, ["safetensors"]), name, count))
                output = ("--endpoint", hub.endpoint)
                hub.reset(None)
                cost = build((manifest, *output), folder / name, variables)
                sent = sum(exchange.bytes_in for exchange in hub.reset(None))
                fresh = _fresh(hub.endpoint, [f"{name}-{number}" for number in range(count)])
                runs[storage, count] = _Run(cost, sent, fresh)
    yield "\n".join(
        (
            "| storage | pairs | sent | of the fresh bytes | wall | of LFS | CPU | peak RSS |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(_row(*key, run, runs["LFS", key[1]]) for key, run in runs.items()),
        )
    )
    xet, lfs = runs["Xet", 1], runs["LFS", 1]
    yield Ratio("Xet: sent / newly initialized bytes", xet.sent / xet.fresh)
    yield Ratio("a build, wall: Xet / LFS", xet.cost.wall / lfs.cost.wall)


def _renamed(manifest: str, name: str, seed: int) -> str:
    """Return a manifest with repos and seeds of its own: the storage has none of their content."""
    content = json.loads(manifest)
    for number, pair in enumerate(content["pairs"]):
        pair["repo"] = f"{name}-{number}"
        pair["seed"] = 10 * seed + number + (100 if name.startswith("LFS") else 0)
    return json.dumps(content)


def _fresh(endpoint: str, repos: Sequence[str]) -> int:
    """Return the bytes of the newly initialized parameters of repos, which are float32."""
    api = HfApi(endpoint, token=TOKEN)
    metadata = [api.get_safetensors_metadata(f"{OWNER}/{repo}") for repo in repos]
    tensors = [item for each in metadata for item in each.files_metadata[_FILE].tensors.items()]
    return sum(4 * each.parameter_count for name, each in tensors if any(p in name for p in _FRESH))


def _row(storage: str, pairs: int, run: _Run, lfs: _Run) -> str:
    return (
        f"| {storage} | {pairs} | {run.sent / 1e6:,.1f} MB | {run.sent / run.fresh:.3f} "
        f"| {run.cost.wall:.1f} s | {run.cost.wall / lfs.cost.wall:.2f} | {run.cost.cpu:.1f} s "
        f"| {run.cost.memory / 1e6:,.0f} MB |"
    )

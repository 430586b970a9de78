"""Manifests of pairs whose sources are the Hub's sample models."""

from collections.abc import Mapping
from typing import Any

import yaml

VIT = "google/vit-base-patch16-224-in21k"
BEIT = "microsoft/beit-base-patch16-224-pt22k-ft22k"
DINOV2 = "facebook/dinov2-base"
GPT2, BART, BERT = "openai-community/gpt2", "facebook/bart-base", "google-bert/bert-base-uncased"
NOWHERE = "me/missing"


def pair(repo: str, encoder: str = VIT, decoder: str = GPT2, **more: Any) -> dict[str, Any]:
    return {"repo": repo, "encoder": encoder, "decoder": decoder, **more}


def manifest(*pairs: Mapping[str, Any]) -> str:
    """Return a manifest in the namespace of the Hub's user, with a key in each line."""
    return yaml.safe_dump({"namespace": "me", "pairs": list(pairs)}, sort_keys=False)

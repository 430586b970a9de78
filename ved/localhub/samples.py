"""Sample checkpoints on a local Hub, for the demo, the tutorial and the tests."""

import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from huggingface_hub import HfApi

from ved.localhub import checkpoints
from ved.localhub.server import LocalHub

STAND_INS: Mapping[str, Callable[[Path], Path]] = {
    "google/vit-base-patch16-224-in21k": checkpoints.vit,
    "microsoft/beit-base-patch16-224-pt22k-ft22k": checkpoints.beit,
    "facebook/dinov2-base": checkpoints.dinov2,
    "openai-community/gpt2": checkpoints.gpt2,
    "facebook/bart-base": checkpoints.bart,
    "google-bert/bert-base-uncased": checkpoints.bert,
    "FacebookAI/roberta-base": checkpoints.roberta,
}
"""Tiny models with random weights, under the names of the real ones that people begin with."""


def publish(hub: LocalHub, samples: Mapping[str, Callable[[Path], Path]] = STAND_INS) -> list[str]:
    """Put sample checkpoints on a Hub that is running, and return the ids of those that are new.

    A repo that is there already is left as it is. The repos belong to organizations of which the
    user `samples` alone is a member.

    Args:
        hub: the Hub.
        samples: by id of the repo, what writes the checkpoint into a directory.
    """
    token = secrets.token_hex()
    owners = dict.fromkeys(repo.partition("/")[0] for repo in samples)
    hub.add_user("samples", token=token, organizations=tuple(owners))
    api = HfApi(hub.endpoint, token=token)
    missing = [repo for repo in samples if not api.repo_exists(repo)]
    with tempfile.TemporaryDirectory(prefix="ved-samples-") as folder:
        for repo in missing:
            api.create_repo(repo)
            api.upload_folder(repo_id=repo, folder_path=samples[repo](Path(folder, repo)))
    return missing

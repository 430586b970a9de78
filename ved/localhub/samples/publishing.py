"""Samples on a local Hub."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, constants

from ved.localhub.samples.bart import bart
from ved.localhub.samples.checkpoint import SampleCheckpoint
from ved.localhub.samples.decoders import bert, gpt2, roberta
from ved.localhub.samples.encoders import beit, dinov2, vit
from ved.localhub.server import LocalHub

SAMPLES: Mapping[str, Callable[[], SampleCheckpoint]] = {
    "google/vit-base-patch16-224-in21k": vit,
    "microsoft/beit-base-patch16-224-pt22k-ft22k": beit,
    "facebook/dinov2-base": dinov2,
    "openai-community/gpt2": gpt2,
    "facebook/bart-base": bart,
    "google-bert/bert-base-uncased": bert,
    "FacebookAI/roberta-base": roberta,
}
"""The samples of `ved localhub --samples`: functions by the repo ids of real models."""


def publish(
    hub: LocalHub, samples: Mapping[str, Callable[[], SampleCheckpoint]] = SAMPLES
) -> list[str]:
    """Publish samples on a running hub. Existing repos stay as they are.

    The repos belong to organizations whose only member is the user `samples`.

    Args:
        hub: the hub.
        samples: functions that build a sample, by repo id.

    Returns:
        The ids of the new repos.
    """
    token = secrets.token_hex()
    owners = dict.fromkeys(repo.partition("/")[0] for repo in samples)
    hub.add_user("samples", token=token, organizations=tuple(owners))
    api = HfApi(hub.endpoint, token=token)
    missing = [repo for repo in samples if not api.repo_exists(repo)]
    with tempfile.TemporaryDirectory(prefix="ved-samples-") as folder:
        for repo in missing:
            directory = samples[repo]().write(Path(folder, repo))
            api.create_repo(repo)
            with _client_settings(hub, Path(folder)):
                api.upload_folder(repo_id=repo, folder_path=directory)
    return missing


@contextmanager
def _client_settings(hub: LocalHub, folder: Path) -> Iterator[None]:
    """Have the client use Xet only if the hub has it, with a cache and logs in a folder."""
    disabled = constants.HF_HUB_DISABLE_XET
    before = os.environ.get("HF_XET_CACHE")
    os.environ["HF_XET_CACHE"] = str(folder / "xet")
    constants.HF_HUB_DISABLE_XET = disabled or hub._hub.xet is None
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = disabled
        del os.environ["HF_XET_CACHE"]
        if before is not None:
            os.environ["HF_XET_CACHE"] = before

"""Very many published repos in little time, for what a plan of them costs."""

import itertools
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dulwich.objects import Blob, Commit, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo
from huggingface_hub import HfApi

from tests.support.publishing import TOKEN, client
from ved.commands import RunOptions, build
from ved.families.family import Role
from ved.localhub import LocalHub
from ved.manifest.loading import Manifest, load
from ved.manifest.pair_models import ConfigRef, Pair
from ved.manifest.settings import CheckpointSettings
from ved.record import (
    BuildRecord,
    RecordedSnapshot,
    RecordedSource,
    build_record,
    card,
    fingerprint,
)
from ved.sources import Pinned, Snapshot, pin

_MAIN = Ref(b"refs/heads/main")
_HOUR = 3600


def publish_many(
    hub: LocalHub,
    encoders: Sequence[str],
    decoders: Sequence[str],
    count: int,
    folder: Path,
    *,
    namespace: str = "owner",
    token: str = TOKEN,
) -> Path:
    """Publish pairs so that a plan of them has nothing to do, and return their manifest.

    The first is built and published as any other. The rest are copies of its repo on the Hub's
    disk, where a commit puts the card and the record of their own entry, sources and fingerprint;
    only their weights are the first's. By their times these commits are older than any that is made
    now, an hour apart, and not in the manifest's order.

    Args:
        encoders: repos on the Hub, all of one family.
        decoders: likewise.
        count: how many pairs: every encoder with every decoder, for one seed after the other.
        folder: where to write the manifest.
        namespace: the owner of the repos, to which the token may publish.
        token: of the Hub.
    """
    api = client(hub, token)
    path = _write_manifest(folder, namespace, encoders, decoders, count)
    first, *others = load(path).pairs
    (result,) = build(Manifest(path.name, (first,)), RunOptions(), api)
    assert result.action == "built", result.reason
    original = hub.repository_path(first.repo)
    built = _record_in(original)
    snapshots = {name: pin(ConfigRef(model=name), api) for name in (*encoders, *decoders)}
    with tempfile.TemporaryDirectory() as name:
        for number, pair in enumerate(others):
            _describe(built, pair, snapshots, api, Path(name))
            copy = original.with_name(f"{pair.repo.removeprefix(f'{namespace}/')}.git")
            _copy(original, copy)
            # 7919 is a prime number, so each has an hour of its own.
            _commit(copy, Path(name), hours_ago=1 + number * 7919 % count)
    return path


def _write_manifest(
    folder: Path, namespace: str, encoders: Sequence[str], decoders: Sequence[str], count: int
) -> Path:
    path = folder / "pairs.yaml"
    combined = list(itertools.product(encoders, decoders))
    pairs = []
    for number in range(count):
        seed, place = divmod(number, len(combined))
        encoder, decoder = combined[place]
        name = f"many-{number}"
        pairs.append({"repo": name, "encoder": encoder, "decoder": decoder, "seed": seed})
    path.write_text(json.dumps({"namespace": namespace, "pairs": pairs}))  # JSON is YAML
    return path


def _record_in(repository: Path) -> BuildRecord:
    with Repo(str(repository)) as git:
        blob = git[_tree(git)[build_record.FILE_NAME.encode()][1]]
        assert isinstance(blob, Blob)
        return build_record.parse_record(blob.data, repository.name)


def _copy(repository: Path, to: Path) -> None:
    """Copy a repo, which then has one store of objects, by their digests, with the copy."""
    stores = ("objects", "lfs")
    shutil.copytree(repository, to, ignore=shutil.ignore_patterns(*stores))
    for store in stores:
        (to / store).symlink_to(repository / store)


def _describe(
    built: BuildRecord, pair: Pair, snapshots: dict[str, Snapshot], api: HfApi, directory: Path
) -> None:
    """Write the card and the record of a pair, as if what was built were its checkpoint."""
    encoder, decoder = (
        Pinned(snapshots[ref.model], snapshots[ref.model]) for ref in (pair.encoder, pair.decoder)
    )
    published = built.model_copy(
        update={
            "fingerprint": fingerprint.compute_fingerprint(
                encoder, decoder, CheckpointSettings.of(pair), api
            ),
            "seed": pair.seed,
            "sources": {
                "encoder": _moved(built.sources["encoder"], encoder.snapshot),
                "decoder": _moved(built.sources["decoder"], decoder.snapshot),
            },
        }
    )
    pinned: dict[Role, Pinned] = {"encoder": encoder, "decoder": decoder}
    card.renew_card(published, pair, pinned, api.endpoint, directory)


def _moved(source: RecordedSource, to: Snapshot) -> RecordedSource:
    config = RecordedSnapshot(name=to.name, commit=to.commit)
    return source.model_copy(update={"name": to.name, "commit": to.commit, "config": config})


def _commit(repository: Path, directory: Path, hours_ago: int) -> None:
    """Replace files by those of a directory, in a commit that says it is some hours older."""
    with Repo(str(repository)) as git:
        last, tree = git[git.refs[_MAIN]], _tree(git)
        assert isinstance(last, Commit)
        for path in directory.iterdir():
            blob = Blob.from_string(path.read_bytes())
            git.object_store.add_object(blob)
            tree[path.name.encode()] = tree[path.name.encode()][0], blob.id
        git.object_store.add_object(tree)
        following = last.copy()
        assert isinstance(following, Commit)
        following.tree, following.parents = tree.id, [last.id]
        following.commit_time = following.author_time = last.commit_time - hours_ago * _HOUR
        git.object_store.add_object(following)
    # dulwich waits for the disk to have it.
    (repository / _MAIN.decode()).write_bytes(following.id + b"\n")


def _tree(git: Repo) -> Tree:
    commit = git[git.refs[_MAIN]]
    assert isinstance(commit, Commit)
    tree = git[commit.tree]
    assert isinstance(tree, Tree)
    return tree

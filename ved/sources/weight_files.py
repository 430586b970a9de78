"""Select the weight files of a source."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from huggingface_hub import HfApi

from ved import limits
from ved.errors import ErrorCode, VedError
from ved.manifest.fields import WeightFormat
from ved.sources.repo_kinds import unusable_repo
from ved.sources.snapshot import PICKLED_WEIGHTS, WEIGHTS, Snapshot, read_json
from ved.text import join_limited, quoted

_SUFFIXES: Mapping[WeightFormat, str] = {"safetensors": ".safetensors", "flax": ".msgpack"}


def present_weights(snapshot: Snapshot) -> list[str]:
    """Return the weight files that a source has, best first; shards under their common name."""
    names = (*WEIGHTS, *PICKLED_WEIGHTS)
    return [name for name in names if {name, f"{name}.index.json"} & snapshot.files.keys()]


def weight_format(names: Iterable[str]) -> WeightFormat | None:
    """Return the format of weight files, the best one first; None if there are only pickles."""
    found = {Path(name).suffix for name in names}
    return next((name for name, suffix in _SUFFIXES.items() if suffix in found), None)


def select_weight_files(
    snapshot: Snapshot,
    allow_pickle: bool,
    api: HfApi,
    weights_from: WeightFormat | None = None,
) -> tuple[str, ...]:
    """Return the names of the weight files to read, in order.

    Args:
        snapshot: the source.
        allow_pickle: whether they may be a pickle.
        api: the client.
        weights_from: the format to read; None for the best one.

    Raises:
        VedError: there is no weight file that VED reads, or none of that format.
    """
    wanted = WEIGHTS + (PICKLED_WEIGHTS if allow_pickle else ())
    if weights_from is not None:
        wanted = tuple(name for name in wanted if weight_format([name]) == weights_from)
        if not {*wanted} & {*present_weights(snapshot)}:
            raise VedError(
                f"{snapshot} has no {wanted[0]}, which weights_from: {weights_from} asks for.",
                "Remove weights_from, or use a revision that has this file.",
                code=ErrorCode.NO_USABLE_WEIGHTS,
            )
    for name in wanted:
        if name in snapshot.files:
            return _not_empty(snapshot, name)
        if f"{name}.index.json" in snapshot.files:
            return _not_empty(snapshot, *_shards(snapshot, f"{name}.index.json", api))
    pickled = sorted(
        name for name in snapshot.files if name.removesuffix(".index.json") in PICKLED_WEIGHTS
    )
    if pickled:
        raise VedError(
            f"{snapshot} has only pickled weights ({pickled[0]}), and a pickle is a program.",
            "Use a revision that has model.safetensors, or allow the pickle with "
            "{model: ..., allow_pickle: true}: VED then reads the tensors and runs nothing.",
            code=ErrorCode.NO_USABLE_WEIGHTS,
        )
    raise unusable_repo(snapshot, api) or VedError(
        f"{snapshot} has no weights that VED can read.",
        f"VED reads {', '.join(WEIGHTS)} and their sharded forms.",
        code=ErrorCode.NO_USABLE_WEIGHTS,
    )


def _not_empty(snapshot: Snapshot, *names: str) -> tuple[str, ...]:
    """Return the names.

    Raises:
        VedError: one of the files has no bytes.
    """
    for name in names:
        path = snapshot.directory and snapshot.directory / name
        # A link or a special file may have any size. It is refused when it is read.
        is_plain = path is None or (path.is_file() and not path.is_symlink())
        if snapshot.files[name] == 0 and is_plain:
            raise VedError(
                f"{name} of {snapshot} is empty (0 bytes).",
                "Its upload failed. Upload the file again, or use another revision.",
                code=ErrorCode.DAMAGED_SOURCE,
            )
    return names


def _shards(snapshot: Snapshot, index: str, api: HfApi) -> tuple[str, ...]:
    """Return the names of the shards that an index lists.

    Raises:
        VedError: the index cannot be read, or lists no shards, or a shard is missing.
    """
    weight_map = read_json(snapshot, index, api).get("weight_map")
    shards = set(map(str, weight_map.values())) if isinstance(weight_map, dict) else set()
    if len(shards) > limits.WEIGHT_FILES:
        raise VedError(
            f"{index} of {snapshot} lists {len(shards)} shards, and VED reads at most "
            f"{limits.WEIGHT_FILES}.",
            "Use another source.",
            code=ErrorCode.SOURCE_TOO_LARGE,
        )
    # A shard of another format would evade the choice above.
    suffix = Path(index.removesuffix(".index.json")).suffix
    missing = {name for name in shards if name not in snapshot.files or Path(name).suffix != suffix}
    if not shards or missing:
        names = f"shards that do not exist: {join_limited([*map(quoted, sorted(missing))])}"
        listed = names if missing else "no shards"
        cause = f"{index} of {snapshot} lists {listed}."
        raise VedError(cause, "The source is incomplete.", code=ErrorCode.DAMAGED_SOURCE)
    return tuple(sorted(shards))

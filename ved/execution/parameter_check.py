"""Compare the parameters of published weight files with the build record."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.families.lookup import find_family
from ved.record import BuildRecord
from ved.tensors import DTYPES, Layout, buffers, open_weights, pytorch_name, second_names
from ved.text import join_limited

_WEIGHTS: tuple[tuple[str, Layout], ...] = ((".msgpack", "flax"), (".safetensors", "pytorch"))


def check_parameters(record: BuildRecord, served: Path) -> None:
    """Compare the headers of the weight files with the parameters in the record.

    Args:
        record: the build record.
        served: the directory of the weight files, or of their header files.

    Raises:
        VedError: they differ.
    """
    for suffix, layout in _WEIGHTS:
        paths = [served / name for name in record.files if name.endswith(suffix)]
        if not paths:
            continue
        found = {weight.name: weight.tensor for weight in open_weights(paths)}
        second = _second_names(record) if layout == "pytorch" else set()
        extra = _buffers(record) if layout == "pytorch" else set()
        names = (
            second
            | extra
            | {
                pytorch_name(path) if layout == "pytorch" else ".".join(path)
                for path in _parameters(record)
            }
        )
        other = sorted(found.keys() ^ names)
        if other:
            raise VedError(
                f"The {suffix} file and its record differ in {join_limited(other)}.",
                code=ErrorCode.CHECK_FAILED,
            )
        dtypes = {tensor.dtype for name, tensor in found.items() if name not in extra}
        if record.dtype != "source" and dtypes != {DTYPES[record.dtype]}:
            names_of_dtypes = join_limited(sorted(map(str, dtypes)))
            raise VedError(
                f"The {suffix} file has parameters of {names_of_dtypes}, not {record.dtype}.",
                code=ErrorCode.CHECK_FAILED,
            )
        count = sum(prod(each.shape) for name, each in found.items() if name not in second | extra)
        if count != record.num_parameters:
            raise VedError(
                f"The {suffix} file has {count} numbers, not {record.num_parameters}.",
                code=ErrorCode.CHECK_FAILED,
            )


def _parameters(record: BuildRecord) -> Iterator[tuple[str, ...]]:
    """Yield the Flax path of every parameter."""
    for role, ledger in record.ledger.items():
        start = () if role == "projection" else (role,)
        for path in (*ledger.copied, *ledger.initialized):
            yield (*start, *path.split("/"))


def _buffers(record: BuildRecord) -> set[str]:
    """Return the names of tensors in PyTorch's layout that are not parameters."""
    found: set[str] = set()
    roles: tuple[Role, ...] = ("encoder", "decoder")
    for role in roles:
        paths = [tuple(path.split("/")) for path in record.ledger[role].copied]
        family = find_family(role, record.sources[role].published_family, role)
        found |= {".".join((role, *path)) for path in buffers(paths, family)}
    return found


def _second_names(record: BuildRecord) -> set[str]:
    """Return the names of tensors in PyTorch's layout that repeat another tensor."""
    ledger = record.ledger["decoder"]
    paths = [tuple(path.split("/")) for path in (*ledger.copied, *ledger.initialized)]
    family = find_family("decoder", record.sources["decoder"].published_family, "decoder")
    return {".".join(("decoder", *path)) for path in second_names(paths, family).values()}

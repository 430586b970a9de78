"""Compare samples of two tensors in the weight files of a source, without the other weights."""

from collections.abc import Callable
from dataclasses import dataclass

from huggingface_hub import HfApi

from ved.errors import ErrorCode, VedError
from ved.hub.errors import translated_errors
from ved.hub.remote_files import locate_file
from ved.sources.source import ResolvedSource

SAMPLE_BYTES = 64 * 2**10
"""The length of a sample, in bytes: several rows of most embeddings."""


@dataclass(frozen=True)
class Place:
    """The elements of a tensor in a weight file.

    Attributes:
        file: the name of the file.
        offset: where they begin, in bytes from the start of the file.
        size: their length in bytes.
    """

    file: str
    offset: int
    size: int

    def samples(self) -> list[tuple[int, int]]:
        """Return offset and length of up to three samples: begin, middle and end."""
        length = min(self.size, SAMPLE_BYTES)
        starts = dict.fromkeys((0, (self.size - length) // 2, self.size - length))
        return [(self.offset + start, length) for start in starts]


_Read = Callable[[int, int], bytes]


def have_same_samples(one: Place, other: Place, source: ResolvedSource, api: HfApi) -> bool:
    """Return whether samples of two tensors of the same size have the same bytes.

    Tensors that differ in a few numbers only may have the same samples.

    Args:
        one: a tensor of the source.
        other: another one.
        source: the source.
        api: the client.

    Raises:
        VedError: the Hub does not serve the samples, or the file has no such places.
        OSError: a local file cannot be read.
    """
    readers = {name: _reader(name, source, api) for name in dict.fromkeys((one.file, other.file))}
    with translated_errors(f"read samples of the weights of {source}", source.snapshot.name):
        return all(
            readers[one.file](*left) == readers[other.file](*right)
            for left, right in zip(_checked(one, source), _checked(other, source), strict=True)
        )


def _checked(place: Place, source: ResolvedSource) -> list[tuple[int, int]]:
    """Return the samples of a place.

    Raises:
        VedError: it is outside the file.
    """
    if place.offset + place.size > source.snapshot.files[place.file]:
        raise VedError(
            f"A tensor of {source} is outside its file {place.file}.",
            code=ErrorCode.DAMAGED_SOURCE,
        )
    return place.samples()


def _reader(name: str, source: ResolvedSource, api: HfApi) -> _Read:
    """Return a function that reads a part of a weight file by offset and length."""
    snapshot = source.snapshot
    if snapshot.commit is not None:
        action = f"read {name} of {source}"
        with translated_errors(action, snapshot.name):
            return locate_file(snapshot.name, snapshot.commit, name, action, api).read_range
    path = snapshot.fetch([name], api) / name  # which checks that it may be read

    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return read

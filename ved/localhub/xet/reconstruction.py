"""Reconstructions: the terms of a file, or of a range of it, and where to download them.

Source: https://huggingface.co/docs/xet/api and cas_types in xet-core.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ved.localhub import errors
from ved.localhub.xet import hashes
from ved.localhub.xet.shards import Term
from ved.localhub.xet.xorbs import Xorb


@dataclass(frozen=True)
class Reconstruction:
    """A range of a file, as whole chunks.

    Attributes:
        offset: the number of bytes to skip at the begin of the first term.
        terms: the terms, in the order of the file.
        xorbs: the chunks of every xorb in the terms.
    """

    offset: int
    terms: list[Term]
    xorbs: dict[bytes, Xorb]

    def version_1(self, url: Callable[[str], str]) -> dict[str, Any]:
        """Return the body of GET /v1/reconstructions.

        Args:
            url: returns the URL of a xorb, from its hash in text.
        """
        fetch_info = {
            xorb: [
                {"range": chunks, "url": url(xorb), "url_range": stored}
                for chunks, stored in ranges
            ]
            for xorb, ranges in self._ranges().items()
        }
        return {**self._described_terms(), "fetch_info": fetch_info}

    def version_2(self, url: Callable[[str], str]) -> dict[str, Any]:
        """Return the body of GET /v2/reconstructions. See `version_1`."""
        xorbs = {
            xorb: [
                {
                    "url": url(xorb),
                    "ranges": [{"chunks": chunks, "bytes": stored} for chunks, stored in ranges],
                }
            ]
            for xorb, ranges in self._ranges().items()
        }
        return {**self._described_terms(), "xorbs": xorbs}

    def _described_terms(self) -> dict[str, Any]:
        terms = [
            {
                "hash": hashes.to_text(term.xorb),
                "unpacked_length": term.size,
                "range": {"start": term.start, "end": term.end},
            }
            for term in self.terms
        ]
        return {"offset_into_first_range": self.offset, "terms": terms}

    def _ranges(self) -> dict[str, list[tuple[dict[str, int], dict[str, int]]]]:
        """Return the ranges to download, by xorb: of chunks, without the end, and of bytes."""
        ranges: dict[str, list[tuple[dict[str, int], dict[str, int]]]] = {}
        for xorb, start, end in dict.fromkeys((t.xorb, t.start, t.end) for t in self.terms):
            chunks = self.xorbs[xorb]
            stored = {"start": chunks.offset(start), "end": chunks.offset(end) - 1}
            of_xorb = ranges.setdefault(hashes.to_text(xorb), [])
            of_xorb.append(({"start": start, "end": end}, stored))
        return ranges


def reconstruct(
    terms: Sequence[Term], find_xorb: Callable[[bytes], Xorb], start: int, end: int | None
) -> Reconstruction:
    """Return the reconstruction of a range of a file.

    Args:
        terms: the terms of the whole file.
        find_xorb: returns the chunks of a xorb.
        start: the first byte of the range.
        end: the last byte of the range; it may be after the end of the file. None: no limit.

    Raises:
        HubError: 416, the range begins after the end of the file.
    """
    last = sum(term.size for term in terms) - 1 if end is None else end
    result = Reconstruction(0, [], {})
    offset, term_start = 0, 0
    for term in terms:
        term_end = term_start + term.size
        if term_end > start and term_start <= last:
            xorb = find_xorb(term.xorb)
            cut, skipped = _cut(term, xorb, start - term_start, last - term_start)
            if not result.terms:
                offset = start - term_start - skipped
            result.terms.append(cut)
            result.xorbs[term.xorb] = xorb
        term_start = term_end
    if not result.terms:
        raise errors.HubError(416, "The range begins after the end of the file")
    return Reconstruction(offset, result.terms, result.xorbs)


def _cut(term: Term, xorb: Xorb, first: int, last: int) -> tuple[Term, int]:
    """Return the chunks of a term that have bytes of a range, and the size of those before.

    Args:
        term: the term.
        xorb: the chunks of its xorb.
        first: the first byte of the range, relative to the term.
        last: the last byte of the range, relative to the term.
    """
    begin, kept, skipped = 0, [], 0
    for chunk in range(term.start, term.end):
        _, size = xorb.chunks[chunk]
        if begin + size <= first:
            skipped += size
        elif begin <= last:
            kept.append(chunk)
        begin += size
    start, end = kept[0], kept[-1] + 1
    size = sum(size for _, size in xorb.chunks[start:end])
    return Term(term.xorb, size, start, end), skipped

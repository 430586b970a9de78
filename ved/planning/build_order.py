"""The order in which pairs are built."""

from collections.abc import Collection, Iterable

from ved.planning.actions import Build


def order_by_download_cost(builds: Iterable[Build]) -> list[Build]:
    """Return builds in an order in which each next one has the fewest bytes left to download.

    The first upload can begin early, and pairs that share sources come together.
    """
    remaining, downloaded = list(builds), set[str]()
    ordered = []
    while remaining:
        following = min(remaining, key=lambda each: _missing(each, downloaded))
        remaining.remove(following)
        ordered.append(following)
        downloaded |= following.estimate.sources.keys()
    return ordered


def _missing(build: Build, downloaded: Collection[str]) -> int:
    """Return the bytes of the sources that are not downloaded yet."""
    return sum(size for name, size in build.estimate.sources.items() if name not in downloaded)

"""Select pairs of a manifest by name."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from ved.errors import ErrorCode, RequestError
from ved.manifest.loading import Manifest
from ved.manifest.pair_models import Pair
from ved.text import MAX_QUOTED, join_limited


def select(manifest: Manifest, only: Iterable[str]) -> list[Pair]:
    """Return the pairs that are named by `owner/name`, or by a name that only one pair has.

    Args:
        manifest: the pairs.
        only: the names; all pairs if there are none.

    Raises:
        RequestError: a name belongs to no pair, or to several.
    """
    found = {
        name: [pair for pair in manifest.pairs if name.lower() in _names(pair)] for name in only
    }
    wrong = {name: pairs for name, pairs in found.items() if len(pairs) != 1}
    if wrong:
        raise _no_such_pair(manifest, wrong)
    wanted = {pair.repo for pairs in found.values() for pair in pairs}
    return [pair for pair in manifest.pairs if not wanted or pair.repo in wanted]


def parse_names(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the names in arguments, each of which may have several with commas between them.

    Raises:
        RequestError: there are arguments without a name. An empty variable of a shell must not
            select all pairs.
    """
    names = [name.strip() for argument in arguments for name in argument.split(",")]
    found = tuple(name for name in names if name)
    if arguments and not found:
        raise RequestError(
            "The option --only names no pair.",
            "Give the names of pairs, or omit the option to select all pairs.",
            code=ErrorCode.NO_SUCH_PAIR,
        )
    return found


def _no_such_pair(manifest: Manifest, wrong: Mapping[str, Sequence[Pair]]) -> RequestError:
    """Return the error for names that do not have exactly one pair each."""
    by_name = {pair.repo.lower().partition("/")[2]: pair.repo for pair in manifest.pairs}
    meant = []
    for name, pairs in wrong.items():
        last = name.lower().rpartition("/")[2][:MAX_QUOTED]
        near = [by_name[each] for each in difflib.get_close_matches(last, by_name, n=1)]
        meant += [pair.repo for pair in pairs] or near
    repos = join_limited([pair.repo for pair in manifest.pairs])
    unknown = join_limited([name for name, pairs in wrong.items() if not pairs])
    ambiguous = join_limited([name for name, pairs in wrong.items() if pairs])
    causes = [
        f"{manifest.name} has no pair {unknown}." if unknown else "",
        f"{manifest.name} has several pairs {ambiguous}." if ambiguous else "",
    ]
    return RequestError(
        " ".join(filter(None, causes)),
        f"Did you mean {join_limited(meant)}?" if meant else f"It has {repos}.",
        code=ErrorCode.NO_SUCH_PAIR,
    )


def _names(pair: Pair) -> tuple[str, str]:
    repo = pair.repo.lower()
    return repo, repo.partition("/")[2]

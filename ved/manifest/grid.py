"""A manifest's grid: every encoder with every decoder, as pairs, and what is wrong with them.

A cell is one encoder with one decoder. The entries of ``exclude`` and ``overrides`` select cells by
the names of their sources in the grid's lists: the model, or model@revision.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath
from typing import Any

from ved.manifest.fields import REPO_RULE, is_repo
from ved.manifest.messages import first_at_each_place
from ved.manifest.models import ConfigRef, Grid, Override, Pair, PairSettings, Selector, SourceRef
from ved.manifest.yaml_nodes import Location, Node, Problem
from ved.text import quoted

# The name of an encoder and that of a decoder; None for any.
_Selection = tuple[str | None, str | None]
# What an entry says, by key: each value with its place.
_Said = dict[str, tuple[Any, Location]]

# Looking for the nearest name is slow, and a file has room for tens of thousands of wrong ones.
_MAX_SUGGESTIONS = 10
_MAX_COMPARED = 200


@dataclass(frozen=True)
class _Cell:
    encoder: SourceRef
    decoder: SourceRef
    places: dict[str, Location]
    selections: frozenset[_Selection]  # all by which an entry can select it


def expand(grid: Grid, node: Node) -> tuple[list[Pair], list[Problem]]:
    """Return a grid's pairs, encoder by encoder, and what is wrong with its entries and names.

    The pairs know their places, but have neither the manifest's namespace nor its defaults yet.

    Args:
        grid: the grid; of how many cells it comes to, the caller takes care.
        node: what it was read from.
    """
    cells = list(_cells(grid, node))
    excluded = {_selection(entry) for entry in grid.exclude}
    left = [cell for cell in cells if cell.selections.isdisjoint(excluded)]
    problems = [*_unknown_names(grid, node), *_exclusion_problems(grid, node, cells, left)]
    pairs, misnamed = [], []
    for cell, said in zip(left, _said_of_cells(left, grid, node), strict=True):
        template, where = said["repo"]
        repo = template.format(encoder=_last_part(cell.encoder), decoder=_last_part(cell.decoder))
        if not is_repo(repo):
            message = f"{quoted(repo)}, {made_of(cell)}, {REPO_RULE}"
            misnamed.append(Problem.at(where, message))
            continue
        values = {key: value for key, (value, _) in said.items()} | {"repo": repo}
        places = cell.places | {key: place for key, (_, place) in said.items()}
        pair = Pair(encoder=cell.encoder, decoder=cell.decoder, **values)
        pairs.append(pair.placed(where, places))
    return pairs, [*problems, *first_at_each_place(misnamed)]


def made_of(cell: _Cell | Pair) -> str:
    """Tell for a message which cell is meant."""
    return f"for {quoted(_name(cell.encoder))} with {quoted(_name(cell.decoder))}"


def _cells(grid: Grid, node: Node) -> Iterator[_Cell]:
    encoders, decoders = enumerate(grid.encoders), enumerate(grid.decoders)
    for (row, encoder), (column, decoder) in product(encoders, decoders):
        places = {
            "encoder": node.find(["encoders", row]).where,
            "decoder": node.find(["decoders", column]).where,
        }
        selections = product((None, *_names(encoder)), (None, *_names(decoder)))
        yield _Cell(encoder, decoder, places, frozenset(selections))


def _name(source: ConfigRef) -> str:
    # Without ambiguity: a repo's id has no @, and a directory has no revision.
    return f"{source.model}@{source.revision}" if source.revision else source.model


def _names(source: SourceRef) -> tuple[str, str]:
    """Return the names that an entry may call a source by."""
    return source.model, _name(source)


def _last_part(source: SourceRef) -> str:
    return PurePosixPath(source.model).name


def _selection(entry: Selector) -> _Selection:
    encoder, decoder = entry.encoder, entry.decoder
    return _name(encoder) if encoder else None, _name(decoder) if decoder else None


def _said(entry: Grid | Override, node: Node) -> _Said:
    keys = entry.model_fields_set & {"repo", *PairSettings.model_fields}
    return {key: (getattr(entry, key), node.children[key].where) for key in keys}


def _said_of_cells(cells: Iterable[_Cell], grid: Grid, node: Node) -> Iterator[_Said]:
    """Yield what the grid says of each cell: its overrides, and where they are silent, its own."""
    common = {"repo": (grid.repo, node.where), **_said(grid, node)}
    overrides = [
        _said(entry, node.find(["overrides", number]))
        for number, entry in enumerate(grid.overrides)
    ]
    # By selection and key, the number of the last entry that says it: looking through all entries
    # for each cell would take a hostile file minutes.
    latest: dict[_Selection, dict[str, int]] = {}
    for number, entry in enumerate(grid.overrides):
        latest.setdefault(_selection(entry), {}).update(dict.fromkeys(overrides[number], number))
    for cell in cells:
        found = [latest[selection].items() for selection in cell.selections & latest.keys()]
        in_order = sorted((number, key) for items in found for key, number in items)
        yield {**common, **{key: overrides[number][key] for number, key in in_order}}


def _unknown_names(grid: Grid, node: Node) -> Iterator[Problem]:
    """Find the names in `exclude` and `overrides` that the grid's lists do not have."""
    entries = [
        (entry, node.find([key, number]))
        for key, entries in (("exclude", grid.exclude), ("overrides", grid.overrides))
        for number, entry in enumerate(entries)
    ]
    for role, sources in (("encoder", grid.encoders), ("decoder", grid.decoders)):
        known = dict.fromkeys(name for source in sources for name in _names(source))
        unknown = [
            (_name(source), place.children[role].where)
            for entry, place in entries
            if (source := getattr(entry, role)) and _name(source) not in known
        ]
        for number, (name, where) in enumerate(unknown):
            near = _nearest(name, known) if number < _MAX_SUGGESTIONS else None
            advice = f"did you mean {quoted(near)}?" if near else "write it as it stands there"
            yield Problem.at(where, f"{quoted(name)} is not among the grid's {role}s; {advice}")


def _nearest(name: str, known: Iterable[str]) -> str | None:
    short = [candidate for candidate in known if len(candidate) <= _MAX_COMPARED]
    near = difflib.get_close_matches(name[:_MAX_COMPARED], short, n=1)
    return near[0] if near else None


def _exclusion_problems(
    grid: Grid, node: Node, cells: Iterable[_Cell], left: Iterable[_Cell]
) -> Iterator[Problem]:
    """Find the overrides of nothing but excluded cells, and a grid of nothing else."""
    chosen = {selection for cell in left for selection in cell.selections}
    gone = {selection for cell in cells for selection in cell.selections} - chosen
    if not chosen:
        yield Problem.at(node.children["exclude"].where, "excludes every cell of the grid")
        return
    for number, entry in enumerate(grid.overrides):
        if _selection(entry) in gone:
            where = node.find(["overrides", number]).where
            yield Problem.at(where, "overrides nothing: all cells that it selects are excluded")

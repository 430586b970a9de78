"""Expand a grid to pairs: every encoder with every decoder.

A cell is one encoder with one decoder. The entries of ``exclude`` and ``overrides`` select cells by
the names of their sources in the grid's lists: the model, or model@revision.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath
from typing import Any

from ved.errors import ErrorCode
from ved.manifest.fields import REPO_RULE, is_repo_id
from ved.manifest.grid_models import Grid, Override, Selector
from ved.manifest.pair_models import ConfigRef, Pair, PairSettings, SourceRef
from ved.manifest.problems import Location, Problem, keep_first_at_each_place
from ved.manifest.yaml_nodes import Node
from ved.text import quoted

# The names of an encoder and of a decoder; None selects all.
_Selection = tuple[str | None, str | None]
# The values of an entry by key, each with its place.
_PlacedValues = dict[str, tuple[Any, Location]]

# Finding the nearest name is slow, and a manifest has space for tens of thousands of wrong names.
_MAX_SUGGESTIONS = 10
_MAX_COMPARED = 200  # characters


@dataclass(frozen=True)
class _Cell:
    """One encoder with one decoder.

    Attributes:
        encoder: its encoder.
        decoder: its decoder.
        places: the places of both in the grid's lists, by key.
        selections: all selections that select the cell.
    """

    encoder: SourceRef
    decoder: SourceRef
    places: dict[str, Location]
    selections: frozenset[_Selection]


def expand(grid: Grid, node: Node) -> tuple[list[Pair], list[Problem]]:
    """Expand a grid to its pairs, encoder by encoder.

    The pairs have their places, but not yet the manifest's namespace and defaults.

    Args:
        grid: the grid. The caller limits the number of its cells.
        node: the node that the grid was read from.

    Returns:
        The pairs, and the problems of the grid's entries and of the pairs' names.
    """
    cells = list(_cells(grid, node))
    excluded = {_selection(entry) for entry in grid.exclude}
    remaining = [cell for cell in cells if cell.selections.isdisjoint(excluded)]
    problems = [*_unknown_names(grid, node), *_useless_entries(grid, node, cells, remaining)]
    pairs, misnamed = [], []
    for cell, values in zip(remaining, _values_of(remaining, grid, node), strict=True):
        template, where = values["repo"]
        repo = template.format(encoder=_last_part(cell.encoder), decoder=_last_part(cell.decoder))
        if not is_repo_id(repo):
            message = f"{quoted(repo)}, {describe_cell(cell)}, {REPO_RULE}"
            misnamed.append(Problem.at(where, message, ErrorCode.VALUE_NOT_ALLOWED))
            continue
        settings = {key: value for key, (value, _) in values.items()} | {"repo": repo}
        places = cell.places | {key: place for key, (_, place) in values.items()}
        pair = Pair(encoder=cell.encoder, decoder=cell.decoder, **settings)
        pairs.append(pair.at(where, places))
    return pairs, [*problems, *keep_first_at_each_place(misnamed)]


def describe_cell(cell: _Cell | Pair) -> str:
    """Return the sources of a cell, for a message."""
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
    # The name is unambiguous: a repo's id has no @, and a directory has no revision.
    return f"{source.model}@{source.revision}" if source.revision else source.model


def _names(source: SourceRef) -> tuple[str, str]:
    """Return the names by which an entry can select a source."""
    return source.model, _name(source)


def _last_part(source: SourceRef) -> str:
    return PurePosixPath(source.model).name


def _selection(entry: Selector) -> _Selection:
    encoder, decoder = entry.encoder, entry.decoder
    return _name(encoder) if encoder else None, _name(decoder) if decoder else None


def _placed_values(entry: Grid | Override, node: Node) -> _PlacedValues:
    keys = entry.model_fields_set & {"repo", *PairSettings.model_fields}
    return {key: (getattr(entry, key), node.children[key].where) for key in keys}


def _values_of(cells: Iterable[_Cell], grid: Grid, node: Node) -> Iterator[_PlacedValues]:
    """Yield the values of each cell: the grid's, replaced by those of its overrides."""
    common = {"repo": (grid.repo, node.where), **_placed_values(grid, node)}
    overrides = [
        _placed_values(entry, node.find(["overrides", number]))
        for number, entry in enumerate(grid.overrides)
    ]
    # The number of the last override for each selection and key. A search through all overrides
    # for each cell would take minutes for a hostile manifest.
    latest: dict[_Selection, dict[str, int]] = {}
    for number, entry in enumerate(grid.overrides):
        latest.setdefault(_selection(entry), {}).update(dict.fromkeys(overrides[number], number))
    for cell in cells:
        found = [latest[selection].items() for selection in cell.selections & latest.keys()]
        in_order = sorted((number, key) for items in found for key, number in items)
        yield {**common, **{key: overrides[number][key] for number, key in in_order}}


def _unknown_names(grid: Grid, node: Node) -> Iterator[Problem]:
    """Yield the names in `exclude` and `overrides` that are not in the grid's lists."""
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
            advice = f"did you mean {quoted(near)}?" if near else "write it as in the list"
            message = f"{quoted(name)} is not among the grid's {role}s; {advice}"
            yield Problem.at(where, message, ErrorCode.UNKNOWN_GRID_SOURCE)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    short = [candidate for candidate in known if len(candidate) <= _MAX_COMPARED]
    near = difflib.get_close_matches(name[:_MAX_COMPARED], short, n=1)
    return near[0] if near else None


def _useless_entries(
    grid: Grid, node: Node, cells: Iterable[_Cell], remaining: Iterable[_Cell]
) -> Iterator[Problem]:
    """Yield the overrides that select only excluded cells, or an `exclude` that leaves no cell."""
    selectable = {selection for cell in remaining for selection in cell.selections}
    excluded = {selection for cell in cells for selection in cell.selections} - selectable
    code = ErrorCode.USELESS_GRID_ENTRY
    if not selectable:
        message = "all cells of the grid are excluded"
        yield Problem.at(node.children["exclude"].where, message, code)
        return
    for number, entry in enumerate(grid.overrides):
        if _selection(entry) in excluded:
            where = node.find(["overrides", number]).where
            message = "overrides nothing: all cells that it selects are excluded"
            yield Problem.at(where, message, code)

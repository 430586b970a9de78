"""Measures what is asked for, and writes it into bench/RESULTS.md."""

import argparse
import compileall
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ved import environment

if __name__ == "__main__":
    environment.prepare()  # before the imports that read it

from bench import (
    assembly,
    container,
    finetuning,
    history,
    load,
    manifest,
    modeling,
    pairs,
    plan,
    quick,
    results,
    suite,
    transfers,
)

Measure = Callable[[Path, Path], Iterator[str | history.Ratio]]
"""Called with the directory of the sources and an empty one; yields paragraphs and key ratios."""

SECTIONS: Mapping[str, tuple[str, Measure]] = {
    "assembly": (assembly.TITLE, assembly.measure),
    "pairs": (pairs.TITLE, pairs.measure),
    "transfers": (transfers.TITLE, transfers.measure),
    "manifest": (manifest.TITLE, manifest.measure),
    "plan": (plan.TITLE, plan.measure),
    "container": (container.TITLE, container.measure),
    "modeling": (modeling.TITLE, modeling.measure),
    "finetuning": (finetuning.TITLE, finetuning.measure),
    "tests": (suite.TITLE, suite.measure),
}
"""By name: the title in RESULTS.md, and the function that measures."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help=f"what to measure: {', '.join(SECTIONS)}; default: all",
    )
    parser.add_argument("--quick", action="store_true", help="print a few ratios, and write none")
    parser.add_argument("--keep", type=Path, help="directory to keep the sources in")
    parser.add_argument(
        "--wait",
        type=float,
        default=600,
        metavar="SECONDS",
        help="how long each section waits for an idle machine; default: 600",
    )
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    return parsed


def main() -> None:
    """Run the measurements that the command line asks for."""
    arguments = parse()
    for package in ("ved", "bench"):  # as in the image
        compileall.compile_dir(package, quiet=1)
    with tempfile.TemporaryDirectory(prefix="ved-bench-") as name:
        sources = arguments.keep or Path(name) / "sources"
        if arguments.quick:
            _, ratios = _measured("Quick", quick.measure, sources, Path(name), arguments.wait)
            print(history.compare(ratios))
            return
        order = tuple(title for title, _ in SECTIONS.values())
        for section in arguments.sections or SECTIONS:
            title, measure = SECTIONS[section]
            body, ratios = _measured(title, measure, sources, Path(name) / section, arguments.wait)
            if body:
                history.record(ratios)
                results.keep(title, body, order)
    print(f"See {results.FILE.name}.")


def _measured(
    title: str, measure: Measure, sources: Path, folder: Path, wait: float
) -> tuple[str, list[history.Ratio]]:
    """Print a section while it is measured, and return its text and its key ratios."""
    print(f"## {title}", end="\n\n", flush=True)
    folder.mkdir(exist_ok=True)
    load.wait_until_idle(wait)
    start = load.now()
    paragraphs, ratios = [], []
    for item in measure(sources, folder):
        if isinstance(item, history.Ratio):
            ratios.append(item)
        else:
            print(item, end="\n\n", flush=True)
            paragraphs.append(item)
    machine = results.machine()
    if measure is not container.measure:  # whose processes are no children of this one
        machine += f" {load.describe(load.others_since(start))}"
    print(machine, end="\n\n", flush=True)
    return "\n\n".join([machine, *paragraphs] if paragraphs else []), ratios


if __name__ == "__main__":
    main()

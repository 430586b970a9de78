"""Measures what is asked for, and writes it into bench/RESULTS.md."""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ved import environment

environment.prepare(progress_bars=False)  # before the imports that read it

from bench import assembly, container, modeling, pairs, plan, results, suite, transfers  # noqa: E402

SECTIONS: Mapping[str, tuple[str, Callable[[Path, Path], Iterator[str]]]] = {
    "assembly": (assembly.TITLE, assembly.measure),
    "pairs": (pairs.TITLE, pairs.measure),
    "transfers": (transfers.TITLE, transfers.measure),
    "plan": (plan.TITLE, plan.measure),
    "container": (container.TITLE, container.measure),
    "modeling": (modeling.TITLE, modeling.measure),
    "tests": (suite.TITLE, suite.measure),
}
"""By name: the title in RESULTS.md, and what yields the paragraphs below it."""


def main() -> None:
    """Run the measurements that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "sections",
        nargs="*",
        choices=tuple(SECTIONS),
        metavar="SECTION",
        help=f"what to measure: {', '.join(SECTIONS)}; default: all",
    )
    parser.add_argument("--keep", type=Path, help="directory to keep the sources in")
    arguments = parser.parse_args()
    order = tuple(title for title, _ in SECTIONS.values())
    with tempfile.TemporaryDirectory(prefix="ved-bench-") as name:
        for section in arguments.sections or SECTIONS:
            title, measure = SECTIONS[section]
            print(f"## {title}", end="\n\n", flush=True)
            folder = Path(name) / section
            folder.mkdir()
            paragraphs = []
            for paragraph in measure(arguments.keep or Path(name) / "sources", folder):
                print(paragraph, end="\n\n", flush=True)
                paragraphs.append(paragraph)
            if paragraphs:
                results.keep(title, "\n\n".join(paragraphs), order)
    print(f"See {results.FILE.name}.")


if __name__ == "__main__":
    main()

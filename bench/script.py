"""One process under measurement: assembles a pair by the script, in an environment without VED.

usage: python bench/script.py ENCODER DECODER OUTPUT

Prints, as JSON, a list with the seconds that the pair took.
"""

import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "consumers"))


def main(encoder: str, decoder: str, output: str) -> None:
    """Run the script for a pair."""
    start = time.perf_counter()
    from oracle import script  # type: ignore[import-not-found]

    script(encoder, decoder, save=output)
    print(json.dumps([time.perf_counter() - start]))


if __name__ == "__main__":
    main(*sys.argv[1:])

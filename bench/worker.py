"""One process under measurement: assembles pairs by VED.

usage: python -m bench.worker [--keep] ENCODER DECODER OUTPUT [DECODER OUTPUT]...

Prints, as JSON, how many seconds each pair took. A pair's output is removed before the next one,
as it is once it has been published; --keep leaves it.
"""

import json
import shutil
import sys
import time
from pathlib import Path

from ved import environment

environment.prepare()


def assemble(encoder: Path, decoder: Path, output: Path) -> None:
    """Assemble a pair as `ved assemble` does."""
    from ved.cli import main

    sources = ["--encoder_model_name_or_path", encoder, "--decoder_model_name_or_path", decoder]
    status = main([str(word) for word in ("assemble", *sources, "--output_dir", output)])
    if status:
        sys.exit(status)


def main() -> None:
    """Run the pairs that the command line names."""
    words = sys.argv[1:]
    keep = words[0] == "--keep"
    encoder, *rest = words[1:] if keep else words
    seconds = []
    for decoder, output in zip(rest[::2], rest[1::2], strict=True):
        start = time.perf_counter()
        assemble(Path(encoder), Path(decoder), Path(output))
        seconds.append(time.perf_counter() - start)
        if not keep:
            shutil.rmtree(output)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()

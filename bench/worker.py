"""One process under measurement: assembles pairs by VED.

usage: python -m bench.worker ENCODER DECODER OUTPUT [DECODER OUTPUT]...

Prints, as JSON, how many seconds each pair took. The first one is assembled as by `ved assemble`.
All pairs share an examining process, as in a build. A pair's output is removed before the next one,
as it is once it has been published.
"""

import json
import shutil
import sys
import time
from pathlib import Path

from ved import environment, interruption
from ved.examination.examiner import open_examiner, share_examiner
from ved.manifest.named_source import named_source


def main() -> None:
    """Run the pairs that the command line names."""
    environment.prepare()
    encoder, *rest = sys.argv[1:]
    seconds = []
    start = time.perf_counter()
    with share_examiner(), open_examiner():
        interruption.import_whole("ved.commands")
        from ved import commands

        for decoder, output in zip(rest[::2], rest[1::2], strict=True):
            named = [named_source(each, None, None) for each in (encoder, decoder)]
            commands.assemble(named[0], named[1], Path(output))
            seconds.append(time.perf_counter() - start)
            if output != rest[-1]:
                shutil.rmtree(output)
            start = time.perf_counter()
    print(json.dumps(seconds))
    interruption.exit_process(interruption.ExitStatus.WELL)


if __name__ == "__main__":
    main()

"""Run programs in processes that have imported PyTorch and transformers already.

usage: serve.py

The imports take longer than the work of most programs. Each line of the input is a JSON list: the
working directory, the program and its arguments. The answer to each is a line with the exit status.
"""

import json
import os
import runpy
import sys
import traceback

import torch  # noqa: F401
from transformers import (  # noqa: F401, each name is imported when it is first used
    CONFIG_MAPPING,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    VisionEncoderDecoderModel,
    pipeline,
)


def run(folder: str, *command: str) -> int:
    """Run a program in a fork of this process; return its exit status."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the output has the answers
        os.chdir(folder)
        sys.argv[:] = command
        runpy.run_path(command[0], run_name="__main__")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # without what the server would do at its end


if __name__ == "__main__":
    for line in sys.stdin:
        print(run(*json.loads(line)), flush=True)

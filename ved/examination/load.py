"""Load the files of a published checkpoint, without its weights, as people load them.

The examining process runs this, as it runs all code of transformers.
"""

from functools import partial
from pathlib import Path

from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer

from ved.assembly.japanese import WITHOUT_WORDS
from ved.errors import ErrorCode
from ved.examination.report import Examination, LoadRequest, Problem, one_line
from ved.text import first_line


def load(request: LoadRequest, directory: Path) -> Examination:
    """Return the problems of loading config, image processor and tokenizer.

    Args:
        request: the checkpoint.
        directory: the directory of its files.

    Raises:
        MemoryError: there is not enough memory.
    """
    loaders = {
        "config": AutoConfig.from_pretrained,
        # The other backend needs torch and torchvision.
        "image processor": partial(AutoImageProcessor.from_pretrained, backend="pil"),
        "tokenizer": partial(
            AutoTokenizer.from_pretrained, **(WITHOUT_WORDS if request.without_words else {})
        ),
    }
    problems = []
    for what, load_one in loaders.items():
        try:
            load_one(directory, local_files_only=True, trust_remote_code=False)
        except MemoryError:
            raise
        except Exception as error:  # damaged files make transformers raise anything
            reason = first_line(error).replace(f"{directory}/", "").rstrip(".")
            cause = one_line(f"transformers cannot load its {what}: {reason}.")
            problems.append(Problem(cause=cause, remedy="", code=ErrorCode.CHECK_FAILED))
    return Examination(problems=problems)

"""The reference of VED: the Flax classes of transformers 4.57.6, and the steps of its script.

The script is create_model_from_encoder_decoder_models. Both run in the environment that
requirements/oracle.txt locks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tests.support.building import Parameters
from tests.support.caches import COMPILATION
from tests.support.consumers import run_consumer
from tests.support.environments import quick_models

SCRIPT_PAIRS = {
    f"{encoder}{width}-{decoder}": (encoder, decoder, width)
    for encoder, decoder, width in (
        ("vit", "gpt2", 32),
        ("beit", "gpt2", 32),
        ("dinov2", "gpt2", 48),
        ("vit", "bert", 32),
        ("vit", "roberta", 32),
        ("vit", "xlm-roberta", 32),
        ("vit", "roberta-prelayernorm", 32),
        ("vit", "bart", 32),
    )
}
"""Pairs that the script assembles rightly: encoder, decoder, and the encoder's width, by name.

The decoders are 32 wide.
"""

_PROGRAM = Path(__file__).parents[1] / "consumers" / "oracle.py"


@dataclass(frozen=True)
class Answers:
    """The answers to all tasks of one process.

    Attributes:
        reports: what is not an array, by the labels of the tasks.
        arrays: the arrays as `LABEL:NAME`.
    """

    reports: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    def named(self, label: str, start: str = "") -> dict[str, NDArray[Any]]:
        """Return the arrays of a task whose names start so, by the rest of the names."""
        start = f"{label}:{start}"
        return {
            name.removeprefix(start): array
            for name, array in self.arrays.items()
            if name.startswith(start)
        }

    def parameters(self, label: str, start: str = "") -> Parameters:
        """Return the parameters of a task by path."""
        return {tuple(name.split("/")): each for name, each in self.named(label, start).items()}


def ask(tasks: Mapping[str, Mapping[str, Any]], folder: Path, *, optimize: bool = True) -> Answers:
    """Have one process do tasks, which are functions in tests/consumers/oracle.py.

    Args:
        tasks: the name of a function as `task` and its arguments, by label.
        folder: an existing directory for the request and the answer.
        optimize: whether XLA optimizes, as it does by default; see tests/modeling/conftest.py.
    """
    variables = COMPILATION if optimize else quick_models()
    answer = run_consumer("oracle", _PROGRAM, {"tasks": tasks}, folder, variables)
    return Answers(json.loads(str(answer.pop("report"))), answer)

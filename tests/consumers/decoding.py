"""Run tasks with PyTorch, in an environment without VED.

usage: decoding.py REQUEST.json ANSWER.npz

The request has questions by label. Each has a `task` (a function below), the `directory` of a
checkpoint, `inputs` (an npz file) and `arguments` of the task. The answer has one array for each
label, and `report`: the names that did not fit, by checkpoint, as JSON.
"""

import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from transformers import VisionEncoderDecoderModel


def generate(model: Any, inputs: dict[str, torch.Tensor], **arguments: Any) -> torch.Tensor:
    """Return tokens: int64 (batch, length)."""
    return model.generate(**inputs, do_sample=False, **arguments)


@torch.no_grad()
def encode(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the encoder's states: float32 (batch, length, width)."""
    return model.encoder(**inputs).last_hidden_state


@torch.no_grad()
def read(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return logits: float32 (batch, length, vocabulary)."""
    return model(**inputs).logits


def train(
    model: Any, inputs: dict[str, torch.Tensor], *, steps: int, learning_rate: float
) -> torch.Tensor:
    """Return the loss before every step: float32 (steps,). Labels of -100 are ignored."""
    optimizer = torch.optim.SGD(model.parameters(), learning_rate)
    losses = []
    for _ in range(steps):
        loss = loss_of(model, inputs)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.tensor(losses)


def loss_of(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the loss of a text. Labels of -100 are ignored."""
    # Given labels, the model would compute a wrong loss in transformers 4.57: it shifts them.
    others = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**others).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), inputs["labels"].flatten())


def differentiate(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the gradient of the loss by the stored parameters, in the order of their names."""
    loss_of(model, inputs).backward()
    parameters = dict(model.named_parameters(remove_duplicate=False))
    with safe_open(Path(model.name_or_path, "model.safetensors"), "pt") as file:
        stored = sorted({*file.keys()} & parameters.keys())  # without buffers
    gradients = ((parameters[name], parameters[name].grad) for name in stored)
    return torch.cat(
        [(torch.zeros_like(of) if found is None else found).flatten() for of, found in gradients]
    )


TASKS = {task.__name__: task for task in (generate, encode, read, train, differentiate)}
REPORTED = ("missing_keys", "unexpected_keys", "mismatched_keys")


def main(request: str, answer: str) -> None:
    """Answer every question. Each model that is trained is loaded again."""
    report: dict[str, list[str]] = {}

    def load(directory: str) -> Any:
        model, info = VisionEncoderDecoderModel.from_pretrained(
            directory, output_loading_info=True, dtype=torch.float32
        )
        report[directory] = [str(name) for key in REPORTED for name in info[key]]
        return model.eval()  # without dropout, also for training

    load_once = functools.cache(load)
    arrays = {}
    for label, question in json.loads(Path(request).read_text()).items():
        task = TASKS[question["task"]]
        model = (load if task is train else load_once)(question["directory"])
        with np.load(question["inputs"]) as file:
            inputs = {name: torch.tensor(file[name]) for name in file.files}
        arrays[label] = task(model, inputs, **question["arguments"]).numpy()
    np.savez(answer, report=json.dumps(report), **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Run tasks with PyTorch, in an environment without VED.

usage: decoding.py REQUEST.json ANSWER.npz

The request has questions by label. Each has a `task` (a function below), the `directory` of a
checkpoint, `inputs` (an npz file) and `arguments` of the task. The answer has one array for each
label.
"""

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


TASKS = {task.__name__: task for task in (generate, read, train, differentiate)}


def main(request: str, answer: str) -> None:
    """Answer every question with a newly loaded model."""
    arrays = {}
    for label, question in json.loads(Path(request).read_text()).items():
        model = VisionEncoderDecoderModel.from_pretrained(
            question["directory"], dtype=torch.float32
        )
        with np.load(question["inputs"]) as file:
            inputs = {name: torch.tensor(file[name]) for name in file.files}
        # eval() turns dropout off, also for training.
        output = TASKS[question["task"]](model.eval(), inputs, **question["arguments"])
        arrays[label] = output.numpy()
    np.savez(answer, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])

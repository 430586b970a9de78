"""The runtimes of a checkpoint, for `ved families` and the model card: what runs where."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ved.families.family import Family

_LABELS_SHIFTED = (
    "its own `loss` is wrong in 4.57, which shifts the labels twice; compute it from `logits` as "
    "below"
)

_PIPELINE_LENGTH = "pass `max_new_tokens`"
_NO_PIPELINE = (
    "transformers 5 replaced it by `image-text-to-text`, which takes other "
    "models; load `AutoModelForImageTextToText`, and call its `generate`"
)


class Runtime(NamedTuple):
    """A class of models, and whether it runs a checkpoint.

    Attributes:
        name: the class and what it is for.
        works: whether it works.
        remark: Markdown for a cell of a table; empty if there is nothing to say.
    """

    name: str
    works: bool
    remark: str = ""


def runtimes(
    halves: Mapping[str, Family],
    *,
    not_in_flax_class: Sequence[str] = (),
    has_pytorch: bool = True,
) -> list[Runtime]:
    """Return what runs a checkpoint.

    Args:
        halves: the families of its halves, by their `model_type` in the checkpoint. One of a half
            alone is enough to know what the half would prevent.
        not_in_flax_class: settings that transformers' own Flax class does not compute.
        has_pytorch: whether the checkpoint has weights that PyTorch reads.
    """
    differs = "; ".join(each.flax_differs for each in halves.values() if each.flax_differs)
    fails = "; ".join(each.generate_fails for each in halves.values() if each.generate_fails)
    without = [name for name, each in halves.items() if not each.has_flax_class]
    if without or not_in_flax_class:
        names = " and ".join(f"`{name}`" for name in without or not_in_flax_class)
        lacks = "has no Flax class for" if without else "does not compute the setting"
        reason = f"transformers {lacks} {names}"
        flax = [Runtime("Flax, transformers' class: all tasks", False, reason)]
    else:
        remark = f"its logits differ from PyTorch's: {differs}" if differs else ""
        generating = fails or ("its logits differ as above" if differs else "")
        flax = [
            Runtime("Flax, transformers' class: forward pass and training", True, remark),
            Runtime("Flax, transformers' class: `generate`", not fails, generating),
        ]
    defects = len(flax) > 1 and (differs or fails)
    remark = "without the defects above" if defects else ""
    flax.append(Runtime("Flax, VED's class (`ved.modeling`): all of these", True, remark))
    missing = "" if has_pytorch else "there are only Flax weights"
    pytorch = [
        Runtime(f"PyTorch, transformers {version}: all of these", has_pytorch, missing or remark)
        for version, remark in ((4, _LABELS_SHIFTED), (5, ""))
    ]
    pipelines = [
        Runtime(
            f'PyTorch, transformers {version}: `pipeline("image-to-text")`',
            works and has_pytorch,
            missing or remark,
        )
        for version, works, remark in ((4, True, _PIPELINE_LENGTH), (5, False, _NO_PIPELINE))
    ]
    return [*flax, *pytorch, *pipelines]

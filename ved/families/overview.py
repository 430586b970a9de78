"""The overview of all families, which `ved families` prints and docs/families.md has."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ved.families.family import Family, Role
from ved.families.runtimes import Runtime, runtimes
from ved.families.table import DECODERS, ENCODERS
from ved.families.twins import TWIN_DECODERS, TWIN_ENCODERS
from ved.text import wrap_words

MODELS: Mapping[str, str] = MappingProxyType(
    {
        # Encoders
        "beit": "microsoft/beit-base-patch16-224-pt22k",
        "chinese_clip_vision_model": "OFA-Sys/chinese-clip-vit-base-patch16",
        "clip_vision_model": "openai/clip-vit-base-patch32",
        "data2vec-vision": "facebook/data2vec-vision-base",
        "deit": "facebook/deit-base-distilled-patch16-224",
        "dinov2": "facebook/dinov2-base",
        "dinov2_with_registers": "facebook/dinov2-with-registers-base",
        "dinov3_vit": "facebook/dinov3-vitb16-pretrain-lvd1689m",
        "donut-swin": "naver-clova-ix/donut-base",
        "ijepa": "facebook/ijepa_vith14_1k",
        "siglip_vision_model": "google/siglip-base-patch16-224",
        "swin": "microsoft/swin-base-patch4-window7-224",
        "swinv2": "microsoft/swinv2-base-patch4-window8-256",
        "vit": "google/vit-base-patch16-224-in21k",
        "vit_mae": "facebook/vit-mae-base",
        "vit_msn": "facebook/vit-msn-base",
        # Decoders
        "bart": "facebook/bart-base",
        "bert": "google-bert/bert-base-uncased",
        "bert-generation": "google/bert_for_seq_generation_L-24_bbc_encoder",
        "camembert": "almanach/camembert-base",
        "data2vec-text": "facebook/data2vec-text-base",
        "distilbert": "distilbert/distilbert-base-uncased",
        "electra": "google/electra-base-discriminator",
        "ernie": "nghuyong/ernie-2.0-base-en",
        "gpt-sw3": "AI-Sweden-Models/gpt-sw3-126m",
        "gpt2": "openai-community/gpt2",
        "marian": "Helsinki-NLP/opus-mt-en-de",
        "mbart": "facebook/mbart-large-50",
        "pegasus": "google/pegasus-large",
        "roberta": "FacebookAI/roberta-base",
        "roberta-prelayernorm": "andreasmadsen/efficient_mlm_m0.40",
        "trocr": "microsoft/trocr-base-printed",
        "xglm": "facebook/xglm-564M",
        "xlm-roberta": "FacebookAI/xlm-roberta-base",
    }
)
"""A model on the Hub for each family, by `model_type`."""

_WITHOUT_TWIN: Mapping[str, str] = MappingProxyType({"electra": "google/electra-small-generator"})
"""Models of families of which only some checkpoints have a twin."""

EVERYWHERE = (
    "Checkpoints of every family run in Flax with ved.modeling, and in PyTorch with transformers "
    "4.57 and 5."
)
"""A sentence about all families, which the columns leave out."""

_HEAD = ("family", "role", "published as", "transformers' Flax", "example")


@dataclass(frozen=True)
class FamilyOverview:
    """A family in one role.

    Attributes:
        family: its `model_type` in a source.
        role: its role in a pair.
        model: the id of a model of it on the Hub.
        published_as: its `model_type` in a checkpoint: that of its twin, or its own.
        runs: what runs a checkpoint of it.
    """

    family: str
    role: Role
    model: str
    published_as: str
    runs: tuple[Runtime, ...]

    @property
    def flax_class(self) -> str:
        """Whether transformers' own Flax class works, in a few words."""
        own = [each for each in self.runs if each.name.startswith("Flax, transformers'")]
        if all(each.works for each in own):
            return "yes"
        return "no generate" if any(each.works for each in own) else "no"


def overview() -> list[FamilyOverview]:
    """Return all families, encoders first, in the order of their names."""
    return [
        *sorted(_of("encoder", ENCODERS, TWIN_ENCODERS), key=lambda each: each.family),
        *sorted(_of("decoder", DECODERS, TWIN_DECODERS), key=lambda each: each.family),
    ]


def format_table(families: Sequence[FamilyOverview], width: int | None = None) -> str:
    """Return the overview as lines of columns, or as a list if a terminal is too narrow for them.

    Args:
        families: the families.
        width: characters of a line; None for lines of any length.
    """
    rows = [_HEAD]
    for each in families:
        rows.append((each.family, each.role, each.published_as, each.flax_class, each.model))
    lines = _columns(rows)
    if width is None or _fit(lines, width):
        return "\n".join((*lines, "", EVERYWHERE))
    lines = _columns([row[:-1] for row in rows])
    if _fit(lines, width):  # without the examples, which get lines of their own
        lines = [f"{line}\n    {row[-1]}" for line, row in zip(lines, rows, strict=True)]
    else:
        lines = [_wrap(_entry(row), width, indent=4) for row in rows[1:]]
    return "\n".join((*lines, "", _wrap(EVERYWHERE, width)))


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _fit(lines: Sequence[str], width: int) -> bool:
    return max(map(len, lines)) <= width


def _entry(row: Sequence[str]) -> str:
    family, role, published_as, flax_class, model = row
    published = f", published as {published_as}" if published_as != family else ""
    return f"{family}: {role}{published}; transformers' Flax: {flax_class}; {model}"


def _wrap(text: str, width: int, indent: int = 0) -> str:
    return "\n".join(wrap_words(text, width, indent))


def to_json(families: Sequence[FamilyOverview]) -> str:
    """Return the overview as a JSON array."""
    content = [
        {
            "family": each.family,
            "role": each.role,
            "model": each.model,
            "published_as": each.published_as,
            "runs": [runtime._asdict() for runtime in each.runs],
        }
        for each in families
    ]
    return json.dumps(content)


def _of(
    role: Role, families: Mapping[str, Family], twins: Mapping[str, Family]
) -> Iterator[FamilyOverview]:
    for name, family in (*families.items(), *twins.items()):
        published = family.twin.of if family.twin else name
        model = MODELS[name] if family.twin else _WITHOUT_TWIN.get(name, MODELS[name])
        yield FamilyOverview(name, role, model, published, tuple(runtimes({published: family})))

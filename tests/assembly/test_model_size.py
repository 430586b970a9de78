"""A model that is too large for a trace is refused, however large its weights are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.assembly.test_config import FAMILIES, SNAPSHOT, source_of
from tests.support.raising import raises
from ved.assembly.config_files import load_config
from ved.assembly.model_size import check_model_size
from ved.errors import ErrorCode
from ved.families.family import Role
from ved.tensors.files import StoredWeight
from ved.tensors.tensor import StoredTensor

MANY = [
    StoredWeight(f"{number}", "a", "pytorch", StoredTensor(Path("a"), 0, (2**20,), np.dtype("f4")))
    for number in range(5000)
]
"""Weights for any model: they take no memory, because nothing reads them."""

SWIN = {"embed_dim": 4, "image_size": 224, "patch_size": 1}
BEIT = {"image_size": 1024, "num_hidden_layers": 1}


def check(role: Role, model_type: str, **settings: Any) -> None:
    family, given = FAMILIES[role][model_type], {"model_type": model_type, **settings}
    source = source_of(role, family, model_type, given)
    check_model_size(load_config(source), source.resolved, MANY)


@pytest.mark.parametrize(
    ("role", "model_type", "largest", "larger"),
    [
        ("encoder", "swin", {"depths": [64, 64], **SWIN}, {"depths": [64, 65], **SWIN}),
        ("encoder", "swin", {"window_size": 64, **SWIN}, {"window_size": 65, **SWIN}),
        ("encoder", "swinv2", {"window_size": 64, **SWIN}, {"window_size": 65, **SWIN}),
        *(
            ("encoder", "beit", {"patch_size": 17, **bias}, {"patch_size": 16, **bias})
            for kind in ("", "shared_")
            for bias in [{f"use_{kind}relative_position_bias": True, **BEIT}]
        ),
        (
            *("decoder", "pegasus"),
            {"max_position_embeddings": 16_384},
            {"max_position_embeddings": 16_385},
        ),
    ],
)
def test_model_size_bounds_what_a_trace_computes(
    role: Role, model_type: str, largest: dict[str, Any], larger: dict[str, Any]
) -> None:
    stages = {"num_heads": [1, 1], "depths": [1, 1]} if "swin" in model_type else {}
    check(role, model_type, **{**stages, **largest})
    with raises(ErrorCode.CONFIG_NOT_USABLE, str(SNAPSHOT)):
        check(role, model_type, **{**stages, **larger})


def test_model_size_takes_any_number_of_positions_that_are_parameters() -> None:
    check("decoder", "mbart", max_position_embeddings=100_000)
    check("encoder", "vit", image_size=1024, patch_size=4)

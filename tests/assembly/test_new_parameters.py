"""New models of every family have the bits of transformers' Flax classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.modeling import oracle
from ved.modeling.initial_parameters import composite_params

pytestmark = pytest.mark.unit

CASES = dict(oracle.cases())


@pytest.fixture(scope="module")
def golden() -> Mapping[str, NDArray[Any]]:
    with np.load(oracle.PATH) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", CASES)
def test_new_models_have_the_parameters_of_transformers(
    name: str, golden: Mapping[str, NDArray[Any]]
) -> None:
    config = CASES[name].to_dict()
    for seed in oracle.SEEDS:
        params = composite_params(config, seed)
        assert oracle.digest(params) == str(golden[f"{name}/params/{seed}"])

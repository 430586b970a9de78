"""New models of every family have the bits of transformers' Flax classes."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from flax.traverse_util import unflatten_dict
from numpy.typing import NDArray

from tests.modeling import oracle
from ved.assembly.initialization import Initialization
from ved.modeling.initial_parameters import composite_params, projection_params

pytestmark = pytest.mark.slow

CASES = dict(oracle.cases())


@pytest.fixture(scope="module")
def golden() -> Mapping[str, NDArray[Any]]:
    with np.load(oracle.PATH) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", CASES)
def test_new_models_have_the_parameters_of_transformers(
    name: str, golden: Mapping[str, NDArray[Any]]
) -> None:
    config = CASES[name]
    for seed in oracle.SEEDS:
        # As assembly draws them: without the computations of a model that flax calls to init it.
        found = Initialization(partial(composite_params, config, seed))
        params = unflatten_dict({path: found.draw(path) for path in found.shapes})
        assert oracle.digest(params) == str(golden[f"{name}/params/{seed}"])
        projected = {path for path in found.shapes if path[0] == "enc_to_dec_proj"}
        if projected:
            projection = Initialization(partial(projection_params, config, seed))
            assert projection.shapes.keys() == projected
            for path in projected:
                np.testing.assert_array_equal(projection.draw(path), found.draw(path))

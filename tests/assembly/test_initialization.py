"""Initialization draws single parameters with the bits of a constructed model."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from numpy.typing import NDArray

from tests import checkpoints
from tests.support.building import assert_same_parameters, read_json
from ved.assembly.initialization import Initialization, KeptDraws, compile_draws
from ved.assembly.normal import draw_normal
from ved.modeling.families import decoder_settings
from ved.modeling.initial_parameters import decoder_params

pytestmark = pytest.mark.hub

SEED = 3
NAMES = ("a", "bb", "ccc", "dddd", "eeeee")


def decoder_config(family: str, directory: Path) -> Any:
    return read_json(checkpoints.DECODERS[family](directory) / "config.json")


def decoder_initialization(config: Any) -> Initialization:
    return Initialization(lambda: decoder_params(decoder_settings(config), SEED))


# The other decoders have the layers of these.
@pytest.mark.parametrize("family", ["gpt2", "bert", "roberta-prelayernorm", "bart"])
def test_draw_gives_the_parameters_of_a_constructed_model(family: str, tmp_path: Path) -> None:
    config = decoder_config(family, tmp_path)
    params = decoder_params(decoder_settings(config), SEED)
    expected = {path: np.asarray(value) for path, value in flatten_dict(params).items()}
    initialization = decoder_initialization(config)
    assert {path: (shape.shape, shape.dtype) for path, shape in initialization.shapes.items()} == {
        path: (value.shape, value.dtype) for path, value in expected.items()
    }
    assert_same_parameters({path: initialization.draw(path) for path in expected}, expected)


def test_draw_does_not_depend_on_order_or_repetition(tmp_path: Path) -> None:
    initialization = decoder_initialization(decoder_config("gpt2", tmp_path))
    paths = list(initialization.shapes)
    forth = {path: initialization.draw(path) for path in paths}
    back = {path: initialization.draw(path) for path in reversed(paths)}
    assert_same_parameters(back, forth)


def test_draw_computes_no_other_parameter() -> None:
    computed = []

    def compute(name: str) -> NDArray[np.float32]:
        computed.append(name)
        return np.zeros(3, np.float32)

    def construct() -> dict[str, Any]:
        like = np.zeros(3, np.float32)
        return {
            name: jax.pure_callback(partial(compute, name), like) + 1 for name in ("one", "other")
        }

    initialization = Initialization(construct)
    assert computed == []
    for name in ("other", "one"):
        np.testing.assert_array_equal(initialization.draw((name,)), [1, 1, 1])
    assert computed == ["other", "one"]


def test_kept_draws_are_drawn_once_by_any_thread() -> None:
    drawn = []

    def compute(name: str) -> NDArray[np.float32]:
        drawn.append(name)
        return np.full((2, 3), len(name), np.float32)

    def construct() -> dict[str, Any]:
        like = np.zeros((2, 3), np.float32)
        return {name: jax.pure_callback(partial(compute, name), like) for name in NAMES}

    kept = KeptDraws(Initialization(construct), [(name,) for name in NAMES])
    with ThreadPoolExecutor(4) as pool:
        everything = [pool.submit(kept.draw_all) for _ in range(4)]
        arrays = list(pool.map(kept.draw, [(name,) for name in reversed(NAMES)]))
    assert [each.result() for each in everything] == [None] * 4
    assert sorted(drawn) == sorted(NAMES)
    for name, array in zip(reversed(NAMES), arrays, strict=True):
        np.testing.assert_array_equal(array, np.full((2, 3), len(name), np.float32))


def test_kept_draws_repeat_a_draw_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    initialization = Initialization(lambda: {"one": jax.numpy.ones(3)})
    kept = KeptDraws(initialization, [("one",)])

    def fail(*_: object) -> NoReturn:
        raise MemoryError

    with monkeypatch.context() as failing:
        failing.setattr(Initialization, "draw", fail)
        with pytest.raises(MemoryError):
            kept.draw(("one",))
    np.testing.assert_array_equal(kept.draw(("one",)), [1, 1, 1])


def test_draw_finds_parameters_that_share_a_value() -> None:
    def construct() -> dict[str, Any]:
        value = jax.numpy.arange(3.0)
        return {"one": value, "other": value}

    initialization = Initialization(construct)
    np.testing.assert_array_equal(initialization.draw(("one",)), [0, 1, 2])
    np.testing.assert_array_equal(initialization.draw(("other",)), [0, 1, 2])


def test_draw_returns_constants() -> None:
    """A bias may be a constant of the trace, without an operation that computes it."""
    constant = np.arange(3.0, dtype=np.float32)
    initialization = Initialization(lambda: {"constant": jax.numpy.asarray(constant)})
    np.testing.assert_array_equal(initialization.draw(("constant",)), constant)


@pytest.mark.parametrize(
    "shape", [(3,), (2**16,), (2**16 + 1,), (300, 500), (3, 5, 7, 11)], ids=str
)
@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_draw_normal_gives_the_bits_of_jax(shape: tuple[int, ...], seed: int) -> None:
    key = jax.random.key(seed)
    expected = np.asarray(jax.nn.initializers.normal(0.02)(key, shape))
    drawn = draw_normal(np.asarray(jax.random.key_data(key)), shape, 0.02)
    assert (drawn.dtype, drawn.shape) == (expected.dtype, expected.shape)
    assert drawn.tobytes() == expected.tobytes()


def test_draw_compiles_nothing_for_another_shape(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = decoder_config("gpt2", tmp_path)
    initialization = decoder_initialization(config)
    kernels = [path for path in initialization.shapes if path[-1] == "kernel"]
    compile_draws()
    with jax.log_compiles(), caplog.at_level("WARNING"):
        for path in kernels:
            initialization.draw(path)
    assert len({initialization.shapes[path].shape for path in kernels}) > 2
    assert [each for each in caplog.messages if "Compiling" in each] == []

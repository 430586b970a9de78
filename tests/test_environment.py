"""The environment variables of the libraries are set as a whole."""

import os
import subprocess
import sys

import flax
import jax
import pytest

from tests.support.environments import HOSTILE_VARIABLES
from ved import environment

LIBRARIES = ("JAX", "XLA", "FLAX", "USE", "TF", "TRANSFORMERS", "HF", "HUGGINGFACE", "TOKENIZERS")


def libraries_variables() -> dict[str, str]:
    """Return the variables of the libraries in the environment."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith((*(f"{library}_" for library in LIBRARIES), *environment.PREFIXES))
    }


@pytest.mark.parametrize("name", [*HOSTILE_VARIABLES, *(f"{library}_X" for library in LIBRARIES)])
def test_prepare_removes_a_variable_that_is_not_honored(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, HOSTILE_VARIABLES.get(name, "1"))
    environment.prepare()
    assert libraries_variables().keys() - environment.HONORED.keys() == environment.VARIABLES.keys()
    assert environment.VARIABLES.items() <= os.environ.items()


@pytest.mark.parametrize(("value", "are_off"), [("1", True), ("true", True), ("0", False)])
def test_environment_knows_whether_the_user_wants_bars(value: str, are_off: bool) -> None:
    program = "from ved import environment as e; e.prepare(); print(e.bars_are_off)"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, environment.NO_BARS: value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == f"{are_off}\n"


def test_prepare_keeps_honored_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.HONORED:
        monkeypatch.setenv(name, f"a user's {name}")
    environment.prepare()
    assert {name: os.environ[name] for name in environment.HONORED} == {
        name: f"a user's {name}" for name in environment.HONORED
    }


def test_prepare_keeps_variables_of_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    others = ("HTTPS_PROXY", "SSL_CERT_FILE", "TMPDIR", "GITHUB_ACTIONS", "INPUT_TOKEN")
    for name in others:
        monkeypatch.setenv(name, "x")
    environment.prepare()
    assert {os.environ[name] for name in others} == {"x"}


def test_prepare_sets_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://other.example")
    environment.prepare(endpoint="https://hub.example")
    assert os.environ["HF_ENDPOINT"] == "https://hub.example"


def test_prefixes_cover_every_setting_of_jax_and_flax() -> None:
    names = {name.upper() for name in (*jax.config.values, *flax.config._values)}
    assert {name for name in names if not name.startswith(environment.PREFIXES)} == set()

"""The action's inputs: read from the environment, with the defaults of action.yml."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.action import ACTION
from ved.action.inputs import Inputs

NO_INPUTS = Inputs(
    manifest=Path("pairs.yaml"),
    token="",
    keyless="",
    only=(),
    endpoint="",
    mode="build",
    shards="1",
    shard="",
    max_disk="",
    results="",
    results_file="",
    allowed_namespaces=(),
    checksums_file="",
)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {}),
        ({"INPUT_MANIFEST": " a/b.yaml "}, {"manifest": Path("a/b.yaml")}),
        ({"INPUT_TOKEN": "hf_x\n"}, {"token": "hf_x"}),
        ({"INPUT_KEYLESS": "True"}, {"keyless": "true"}),
        ({"INPUT_ONLY": "a/b, c\n d,"}, {"only": ("a/b", "c", "d")}),
        ({"INPUT_ENDPOINT": "https://hub.example/"}, {"endpoint": "https://hub.example"}),
        ({"INPUT_MODE": "plan", "INPUT_SHARDS": " 4 "}, {"mode": "plan", "shards": "4"}),
        ({"INPUT_SHARD": '{\n"repos": []\n}\n'}, {"shard": '{\n"repos": []\n}'}),
        ({"INPUT_MAX-DISK": "10 GB"}, {"max_disk": "10 GB"}),
        ({"INPUT_ALLOWED-NAMESPACES": "Me,us"}, {"allowed_namespaces": ("Me", "us")}),
        (
            {"INPUT_RESULTS": "all", "INPUT_RESULTS-FILE": "all/1.json"},
            {"results": "all", "results_file": "all/1.json"},
        ),
        ({"INPUT_CHECKSUMS-FILE": "sums"}, {"checksums_file": "sums"}),
    ],
)
def test_inputs_are_read_from_the_environment(
    variables: Mapping[str, str], expected: Mapping[str, Any]
) -> None:
    assert Inputs.read(variables) == replace(NO_INPUTS, **expected)


@pytest.mark.parametrize("name", ["manifest", "mode", "shards"])
def test_inputs_have_the_defaults_of_the_action(name: str) -> None:
    assert ACTION["inputs"][name]["default"] == str(getattr(NO_INPUTS, name))


def test_inputs_are_those_of_the_action() -> None:
    names = {name.replace("-", "_") for name in ACTION["inputs"]}
    assert names == {each.name for each in fields(Inputs)}

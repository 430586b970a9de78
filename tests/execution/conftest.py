"""What the tests of failing requests share, over LFS and over Xet."""

from pathlib import Path

import pytest

from tests.support.faults import AssembledOnce, publish_template
from ved.localhub import LocalHub


@pytest.fixture(scope="module")
def template(module_hub: LocalHub, sources: dict[str, Path]) -> str:
    return publish_template(module_hub)


@pytest.fixture(scope="module")
def assembled_once(tmp_path_factory: pytest.TempPathFactory) -> AssembledOnce:
    return AssembledOnce(tmp_path_factory.mktemp("assembled"))

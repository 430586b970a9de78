"""A family is published as its twin, and computes what the class of its source computes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import checkpoints
from tests.support.building import assemble_pair
from tests.support.consumers import run_consumer
from ved.families.family import Role

pytestmark = pytest.mark.slow

CONSUMER = Path(__file__).parents[1] / "consumers" / "twins.py"
TWINS: dict[str, Callable[..., Path]] = {
    **checkpoints.TWIN_ENCODERS,
    **checkpoints.TWIN_DECODERS,
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path, Role]]:
    """Assemble twins; return checkpoint, source and role of each."""
    folder = tmp_path_factory.mktemp("twins")
    vit, gpt2 = checkpoints.vit(folder / "vit"), checkpoints.gpt2(folder / "gpt2")
    made: dict[str, tuple[Path, Path, Role]] = {}
    for family, write in TWINS.items():
        source = write(folder / f"{family}-source")
        role: Role = "encoder" if family in checkpoints.TWIN_ENCODERS else "decoder"
        halves = (source, gpt2) if role == "encoder" else (vit, source)
        assemble_pair(*halves, folder / family)
        made[family] = folder / family, source, role
    return made


@pytest.mark.parametrize("environment", ["transformers4", "transformers5"])
def test_twins_compute_what_their_sources_compute_in_pytorch(
    environment: str, pairs: dict[str, tuple[Path, Path, Role]], tmp_path: Path
) -> None:
    asked = {
        label: [str(checkpoint), str(source), role]
        for label, (checkpoint, source, role) in pairs.items()
    }
    answer = run_consumer(environment, CONSUMER, asked, tmp_path)
    assert json.loads(str(answer["report"])) == {label: [] for label in pairs}
    assert {label: float(answer[label]) for label in pairs} == dict.fromkeys(pairs, 0.0)

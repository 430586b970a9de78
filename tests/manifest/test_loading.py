"""Loading a manifest: files, local directories, and the error with all problems."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.manifests import one_pair
from ved.errors import RequestError
from ved.manifest import ManifestError, load, loads


def test_load_reports_unreadable_file_at_its_start(tmp_path: Path) -> None:
    for path, reason in [(tmp_path / "no.yaml", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(ManifestError) as caught:
            load(path)
        (problem,) = caught.value.problems
        assert (problem.file, problem.line, problem.column) == (str(path), 1, 1)
        assert problem.code == "manifest-not-readable"
        assert reason in problem.message


def test_load_checks_local_directories(tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    gone, long = f"../{tmp_path.name}/gone", f"./{'n' * 500}"
    path.write_bytes(
        one_pair(encoder="./here", decoder=f"{{model: {gone}, config: {long}}}", repo="o/r")
    )
    (tmp_path / "here").mkdir()
    with pytest.raises(ManifestError) as caught:
        load(path)
    first, second = caught.value.problems
    assert (first.file, first.line, first.column) == (str(path), 3, 20)
    assert (second.file, second.line, second.column) == (str(path), 3, 30 + len(gone))
    assert first.code == second.code == "no-such-directory"
    assert f"'{gone}'" in first.message
    assert f"'{long[:79]}…'" in second.message
    path.write_bytes(one_pair(encoder="./here"))
    manifest = load(path)
    assert manifest.name == str(path)
    assert manifest.pairs[0].encoder.directory == tmp_path / "here"


def test_load_checks_local_directories_of_grid(tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_text("grid: {encoders: [./here], decoders: [./there], repo: o/r}")
    (tmp_path / "here").mkdir()
    with pytest.raises(ManifestError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.code) == (1, 39, "no-such-directory")
    (tmp_path / "there").mkdir()
    (pair,) = load(path).pairs
    assert pair.decoder.directory == tmp_path / "there"


def test_manifest_error_is_a_request_error_with_all_problems() -> None:
    with pytest.raises(RequestError) as caught:
        loads(b"pairs: []\nmore: 1", name="x/pairs.yaml")
    error = caught.value
    assert isinstance(error, ManifestError)
    assert error.code == "wrong-manifest"
    assert [(each.line, each.column, each.code) for each in error.problems] == [
        (1, 8, "value-not-allowed"),
        (2, 1, "unknown-key"),
    ]
    assert str(error).splitlines() == [str(problem) for problem in error.problems]
    assert all(line.startswith("x/pairs.yaml:") for line in str(error).splitlines())


def test_manifest_package_imports_nothing_heavy() -> None:
    program = "import sys, ved.manifest; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"jax", "flax", "numpy", "transformers", "huggingface_hub"}
    assert heavy.isdisjoint(run.stdout.split())

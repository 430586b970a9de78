"""Loading a manifest: files, local directories, and the error with all problems."""

import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.manifests import one_pair
from ved.errors import ErrorCode, RequestError
from ved.manifest import ManifestError, load, loads


def test_load_of_a_missing_file_names_files_that_look_like_a_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "models/checkpoints.yml": "# ours\ndefaults: {}\npairs:\n- x\n",
        "grid.yaml": "grid:\n  encoders: []\n",
        "compose.yaml": "services:\n  pairs: 1\n",
        ".github/workflows/pairs.yml": "pairs: 1\n",
        "notes.txt": "pairs: 1\n",
        "a/b/c/d/e/deep.yaml": "pairs: 1\n",
    }
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    Path("link.yaml").symlink_to("grid.yaml")
    for path in (Path("pairs.yaml"), Path("models"), Path("grid.yaml/x")):
        with pytest.raises(RequestError) as caught:
            load(path)
        assert caught.value.code == ErrorCode.MANIFEST_NOT_READABLE
        assert repr(str(path)) in caught.value.cause
        named = re.findall("'(.*?)'", caught.value.remedy)
        both = ["grid.yaml", "models/checkpoints.yml"]
        assert named == (both[1:] if path == Path("models") else both)


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


def test_manifest_error_lists_first_problems_and_counts_others() -> None:
    entries = "".join(f"- {{repo: o/r{n}, encoder: e, decoder: d, x: y}}\n" for n in range(104))
    with pytest.raises(ManifestError) as caught:
        loads(f"pairs:\n{entries}".encode())
    assert len(caught.value.problems) == 104
    *listed, others = str(caught.value).splitlines()
    assert listed == [str(problem) for problem in caught.value.problems[:100]]
    assert "4" in others
    assert gc.isenabled()

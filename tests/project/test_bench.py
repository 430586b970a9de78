"""The benchmark: its arguments, the load of the machine, and the ratios of each version."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import history, load
from bench.history import Ratio


def test_bench_arguments_name_sections() -> None:
    from bench.__main__ import parse

    assert parse([]).sections == []
    assert parse(["plan", "pairs"]).sections == ["plan", "pairs"]
    with pytest.raises(SystemExit, match="2"):
        parse(["other"])


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux's /proc/stat")
def test_bench_load_counts_processes_that_still_run() -> None:
    start = load.now()
    program = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", program]) as other:
        while load.others_since(start) <= load.IDLE:
            time.sleep(0.05)
        assert not load.wait_until_idle(limit=0, window=0.2)
        other.kill()
    assert load.now().ours > start.ours


def test_bench_history_has_one_row_for_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "history.json"
    history.record([Ratio("old: a / b", 1.0), Ratio("both: a / b", 2.0)], file)
    history.record([Ratio("both: a / b", 3.0)], file)
    (row,) = history.read(file)
    assert row["ratios"] == {"old: a / b": 1.0, "both: a / b": 3.0}
    monkeypatch.setattr(history, "__version__", "9.0")
    history.record([Ratio("both: a / b", 4.0)], file)
    assert history.table(history.read(file)).splitlines()[-1] == "| both: a / b | 3 | 4 |"

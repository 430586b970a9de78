"""A source can do nothing but end its own examination."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import ValidationError

from ved import interruption
from ved.errors import ErrorCode, VedError
from ved.examination import landlock, sandbox
from ved.examination.child import Child
from ved.examination.examiner import Examiner
from ved.examination.report import Answer, Request, SnapshotName
from ved.examination.source_files import REQUEST
from ved.examination.worker import USED_UP_BYTES

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux confines a process"),
    pytest.mark.slow,
]

WELL, PERMISSION = "done: ", "PermissionError"
SECONDS = 10


def start(seconds: float = 50) -> Examiner:
    return Examiner("tests.examination.deeds", seconds)


@pytest.fixture(scope="module")
def examiner() -> Iterator[Examiner]:
    with start() as examiner:
        yield examiner


def told(examiner: Examiner, deed: str) -> str:
    """Return what a source tells that does a deed."""
    folder = examiner.new_folder()
    folder.mkdir(parents=True)
    name = SnapshotName(name="a/b", commit="0" * 40, directory=None)
    request = Request(
        role="encoder",
        snapshot=name,
        config_snapshot=name,
        family=deed,
        weights=[],
        processing=[],
        config={},
    )
    (folder / REQUEST).write_text(request.model_dump_json())
    (problem,) = examiner.examine(folder, "a/b").problems
    return problem.cause


def assert_broken(examiner: Examiner, deed: str, *data: str) -> None:
    """Check that a deed breaks the examination."""
    with pytest.raises(VedError) as raised:
        told(examiner, deed)
    assert raised.value.code == ErrorCode.EXAMINATION_FAILED
    for part in data:
        assert part in raised.value.cause


# What it cannot do


@pytest.mark.parametrize(
    "deed", ["socket", "unix-socket", "socketpair", "io_uring", "fork", "exec", "run"]
)
def test_examination_has_no_network_and_no_other_process(deed: str, examiner: Examiner) -> None:
    assert told(examiner, deed) == PERMISSION


@pytest.mark.parametrize("deed", ["kill", "limit", "ptrace"])
def test_examination_cannot_touch_its_parent(deed: str, examiner: Examiner) -> None:
    assert told(examiner, f"{deed} {os.getpid()}") == PERMISSION


def test_examination_can_start_threads(examiner: Examiner) -> None:
    assert told(examiner, "thread") == f"{WELL}[1]"


def test_examination_has_few_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", "secret")
    with start() as own:
        names = set(told(own, "environment").split())
    assert not {"HF_TOKEN", "ACTIONS_RUNTIME_TOKEN", "PATH", "PYTHONPATH"} & names


def landlock_exists() -> bool:
    """Return whether the kernel has Landlock; the process that tries it is confined afterwards."""
    code = f"import sys; from {landlock.__name__} import confine; sys.exit(not confine([], []))"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


needs_landlock = pytest.mark.skipif(not landlock_exists(), reason="the kernel has no Landlock")


def test_action_hides_its_process_from_the_examination() -> None:
    code = f"import ctypes; from {sandbox.__name__} import hide_process; hide_process()"
    ask = "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    printed = subprocess.check_output([sys.executable, "-c", f"{code}; {ask}"], text=True)
    assert printed == "0\n"


@needs_landlock
def test_examination_reads_python_and_its_own_folder_only(
    examiner: Examiner, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("secret")
    environ = f"/proc/{os.getpid()}/environ"
    for path in (tmp_path / "file", "/etc/passwd", environ, __file__):
        assert told(examiner, f"read {path}") == PERMISSION
    for directory in ("/", "/proc", Path.home(), Path.cwd(), tmp_path):
        assert told(examiner, f"list {directory}") == PERMISSION
    assert told(examiner, f"list {sys.prefix}").startswith(WELL)


@needs_landlock
def test_examination_writes_temporary_files_only(examiner: Examiner, tmp_path: Path) -> None:
    assert told(examiner, "write here").startswith(WELL)
    for path in (tmp_path / "file", Path(sys.prefix, "file"), "../sources/file", "../file"):
        assert told(examiner, f"write {path}") == PERMISSION


def test_examination_prints_nothing(examiner: Examiner, capfd: pytest.CaptureFixture[str]) -> None:
    assert told(examiner, "print") == "printed"
    assert capfd.readouterr() == ("", "")


# How it ends


def copying(name: str) -> str:
    """Return an answer with a tokenizer, of which this file would be published."""
    files: dict[str, object] = {
        "settings": {},
        "copied": [name],
        "tokenizer_json": None,
        "tokens": [],
        "token_ids": {},
    }
    return json.dumps({"examination": {"tokenizer": files}})


def test_answer_with_files_of_a_tokenizer_is_valid() -> None:
    answer = Answer.model_validate_json(copying("vocab.json"))
    assert answer.examination is not None
    assert answer.examination.tokenizer is not None


@pytest.mark.parametrize(
    "answer",
    [
        '{"examination": {"problems": [{"cause": "a", "remedy": "", "code": "b"}]}}',
        '{"examination": {"image_processor": {"settings": {}, "size": [1, 2, 3]}}}',
        '{"examination": {"image_processor": {"settings": {}, "size": ["1", 1]}}}',
        copying("/etc/passwd"),
        copying("../config/config.json"),
        '{"examination": {"unknown": 1}}',
        '{"broken": "' + "x" * 5000 + '"}',
        "[" * 100_000,
    ],
    ids=lambda value: value[:60],
)
def test_answer_of_another_form_is_not_valid(answer: str) -> None:
    with pytest.raises(ValidationError):
        Answer.model_validate_json(answer)


@pytest.mark.parametrize(
    ("deed", "how"),
    [
        ("panic ::error::a", "PanicException"),
        ("exit 0", "SystemExit"),
        ("_exit 0", "status 0"),
        ("_exit 7", "status 7"),
        ("segfault", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("overflow", "SIGSEGV"),
        ("memory", "MemoryError"),
        ("address-space", "OSError"),
        ("large-file", "OSError"),
        ("cpu", "SIGXCPU"),
        ("answer garbage", "not valid"),
        (f"answer {copying('/etc/passwd')}", "not valid"),
        ("flood", "longer"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_examiner_survives_the_end_of_its_process(deed: str, how: str, examiner: Examiner) -> None:
    # An examiner that did not survive would fail the next source, which is that of the next test.
    assert_broken(examiner, deed, how)


def test_examiner_examines_the_source_after_one_that_broke(examiner: Examiner) -> None:
    for deed, how in (("exit 1", "SystemExit"), ("segfault", "SIGSEGV"), ("answer {}", "empty")):
        assert told(examiner, "well") == WELL
        assert_broken(examiner, deed, how)
    assert told(examiner, "well") == WELL


@pytest.mark.parametrize("deed", ["spin", "sleep"])
def test_examiner_ends_an_examination_that_takes_too_long(deed: str) -> None:
    with start(seconds=1) as examiner:
        assert told(examiner, "well") == WELL
        before = time.monotonic()
        assert_broken(examiner, deed, "1 seconds")
        assert time.monotonic() - before < SECONDS


def test_examiner_makes_one_line_of_texts(examiner: Examiner) -> None:
    with pytest.raises(VedError) as raised:
        told(examiner, "answer " + json.dumps({"broken": "a\n::error::b\x1b]0;c\u202e"}))
    assert str(raised.value).isprintable()


# Its process


def test_examiner_gives_each_thread_the_answer_to_its_own_question(examiner: Examiner) -> None:
    texts = [f"text {number}" for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        told_texts = [*pool.map(lambda text: told(examiner, f"say {text}"), texts)]
    assert told_texts == texts


def test_examiner_keeps_its_process_until_it_ends(examiner: Examiner) -> None:
    first = told(examiner, "pid")
    assert told(examiner, "pid") == first
    assert_broken(examiner, "exit 1")
    assert told(examiner, "pid") != first


def test_examiner_keeps_its_process_beside_a_large_one() -> None:
    ballast = bytearray(b"1") * (USED_UP_BYTES + 1)  # Linux counts it for children, too
    with start() as examiner:
        pids = {told(examiner, "pid") for _ in range(3)}
    assert len(ballast) > USED_UP_BYTES
    assert len(pids) == 1


def test_examiner_does_not_blame_a_source_for_an_earlier_one(examiner: Examiner) -> None:
    os.kill(int(told(examiner, "pid")), 9)
    assert told(examiner, "well") == WELL


def test_examiner_does_not_repeat_a_source_that_uses_up_its_time(
    examiner: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(examiner, "well") == WELL
    started: list[str] = []
    monkeypatch.setattr(Examiner, "_stop", watched(Examiner._stop, started))
    assert_broken(examiner, "cpu", "SIGXCPU")
    assert len(started) == 1


def watched(method: Callable[..., None], calls: list[str]) -> Callable[..., None]:
    """Return a method that notes each of its calls."""

    def call(*arguments: object) -> None:
        calls.append(method.__name__)
        method(*arguments)

    return call


def test_examiner_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with start() as examiner:
        pid = int(told(examiner, "pid"))
        told(examiner, "write here")
        assert [*tmp_path.iterdir()] != []
    assert [*tmp_path.iterdir()] == []
    assert not is_running(pid)


_PARENT = """
import os, sys, threading, time
from tests.examination.test_examiner import start, told
examiner = start().__enter__()
print(told(examiner, "pid"), flush=True)
if sys.argv[1] == "busy":
    threading.Thread(target=told, args=(examiner, "spin"), daemon=True).start()
    time.sleep(0.5)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("state", ["busy", "idle"])
def test_examining_process_ends_with_its_parent(state: str, tmp_path: Path) -> None:
    parent = subprocess.run(
        [sys.executable, "-c", _PARENT, state],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
        check=False,
    )
    pid = int(parent.stdout)
    deadline = time.monotonic() + SECONDS
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_examiner_ends_its_process_on_an_interrupt() -> None:
    with start() as examiner:
        pid = int(told(examiner, "pid"))
        threading.Timer(0.3, os.kill, (os.getpid(), 2)).start()
        with pytest.raises(KeyboardInterrupt):
            told(examiner, "sleep")
        assert not is_running(pid)


def test_examiner_starts_no_process_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = threading.Event()
    monkeypatch.setattr(interruption, "_interrupted", interrupted)
    with ThreadPoolExecutor(1) as pool:
        with start() as examiner:
            assert told(examiner, "well") == WELL
            child = examiner.start()
            started: list[str] = []
            monkeypatch.setattr(Child, "__init__", watched(Child.__init__, started))
            asked = pool.submit(told, examiner, "sleep")
            while child.served < 2:
                time.sleep(0.01)
            interrupted.set()  # the command ends while a thread of it waits for an answer
        assert isinstance(asked.exception(), KeyboardInterrupt)
    assert started == []


def test_examiner_explains_that_its_process_does_not_start() -> None:
    with Examiner("tests.examination.missing") as examiner, pytest.raises(VedError) as raised:
        told(examiner, "well")
    assert raised.value.code == ErrorCode.VED_ITSELF_FAILED


def test_examination_before_its_trials_imports_no_transformers() -> None:
    program = "import sys, ved.examination.examine; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

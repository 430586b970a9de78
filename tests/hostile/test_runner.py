"""The runner of a step: its commands, its secrets, and modules and variables of the workspace."""

import base64
import html
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from huggingface_hub.utils import get_session

from examples.demo.runner import COMMAND, ENTRYPOINT, Run
from tests.support.action import Action, annotations, code_of, rows_of
from tests.support.faults import ALL_FAULTS
from tests.support.hostile import Answer, Request, impostor, serving, with_value_in_file
from tests.support.publishing import TOKEN, client, pair
from tests.support.workflow_commands import commands, lines
from ved.action.log import StepLog
from ved.errors import ErrorCode
from ved.hub.http import connect
from ved.localhub import LocalHub
from ved.redaction import KNOWN, Secrets

SECRET = "hf_of_the_environment+/="
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def action(tmp_path: Path) -> Action:
    """Return the action in folders of this test, without a Hub."""
    return Action(tmp_path / "runner", {"mode": "plan", "endpoint": NOWHERE})


def shown(run: Run) -> list[str]:
    """Return the lines of the log but for those that mask secrets."""
    masks = {each.line for each in commands(run.log) if each.name == "add-mask"}
    return [line for number, line in enumerate(lines(run.log)) if number not in masks]


# Text that is no command, whoever prints it, and however the process ends

EVIL = "\\n::set-output name=built::9\\n::error::of a source\\n ##[error]x\\r::add-mask::e \\x1b[2K"
EVIL += SECRET
DRIVER = f"""
import atexit, ctypes, gc, os, runpy, subprocess, sys, threading
sys.path.insert(0, {str(ENTRYPOINT.parent)!r})
from ved import commands
EVIL = {EVIL!r}
class Panic(BaseException): pass
def act(*_, **__):
    global kept
    CODE
commands.plan = act
runpy.run_path({str(ENTRYPOINT)!r}, run_name="__main__")
"""
"""Runs the action, in which a library does something in place of the plan."""

PRINTS = {
    "standard error": "os.write(2, EVIL.encode())",
    "standard output": "os.write(1, EVIL.encode())",
    "bytes of no encoding": "os.write(2, b'\\xff\\n::error::x\\xff\\n')",
    "C": "libc = ctypes.CDLL(None); libc.puts(EVIL.encode()); libc.fflush(None)",
    "perror": "ctypes.CDLL(None).perror(EVIL.encode())",
    "other process": "subprocess.run(['printf', '%s\\n', EVIL])",
    "other process's errors": "subprocess.run(['sh', '-c', 'printf %s \"$1\" >&2', '', EVIL])",
    "Python's first streams": "print(EVIL, file=sys.__stderr__, flush=True)",
    "thread": "t = threading.Thread(target=lambda: [][EVIL]); t.start(); t.join()",
    "panic in a thread": "t = threading.Thread(target=exec, args=('raise Panic(EVIL)', globals()));"
    " t.start(); t.join()",
    "destructor": "type('X', (), {'__del__': lambda self: {}[EVIL]})()",
    "end of the process": "atexit.register(lambda: {}[EVIL]); atexit.register(print, EVIL)",
    "end of the interpreter": "kept = type('X', (), {'__del__': lambda self: {}[EVIL]})()",
    "more than a pipe holds, with Python's lock": "data = (EVIL * 50_000).encode();"
    " ctypes.PyDLL(None).write(2, data, len(data))",
}
"""What a library does, and then goes on."""

RAISES = {
    "no end of the line": "os.write(2, b'::error::x'); raise Panic",
    "bytes of the stream": "sys.stdout.buffer.write(EVIL.encode()); raise ValueError",
    "warning": "import warnings; warnings.warn(EVIL); raise ValueError(EVIL)",
    "panic": "raise Panic(EVIL)",
    "panic in a group": "raise BaseExceptionGroup(EVIL, [Panic(EVIL)])",
    "exit": "sys.exit(EVIL)",
    "end of a generator": "raise GeneratorExit(EVIL)",
    "Rust": 'from tokenizers import Tokenizer; Tokenizer.from_str(\'{"version": "1.0", \''
    ' \'"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, \''
    ' \'"model": {"type": "WordLevel", "vocab": {}, "unk_token": "x"}}\')',
}
# Each process takes half a second.
TOGETHER = {"all that only print": "\n    ".join(PRINTS.values())}
GOES_ON = {**(PRINTS if ALL_FAULTS else TOGETHER), **RAISES}
ENDS = {
    "abort": "os.write(2, EVIL.encode()); os.abort()",
    "segmentation fault": "os.write(1, EVIL.encode()); ctypes.string_at(0)",
    "sudden exit": "os.write(2, EVIL.encode()); os._exit(3)",
    "kill": "os.write(2, EVIL.encode()); os.kill(os.getpid(), 9)",
}


def run_with(action: Action, code: str) -> Run:
    driver = action.folder.parent / "driver.py"
    driver.write_text(DRIVER.replace("CODE", code))
    command = (*COMMAND[:-1], str(driver))
    variables = {"HF_TOKEN": SECRET}
    return action.run_as_process([pair("owner/x")], variables, command=command)


def assert_only_text(run: Run) -> None:
    names = [command.name for command in commands(run.log)]
    assert {*names} <= {"add-mask", "error"}
    assert SECRET not in "\n".join([*shown(run), run.summary, *run.outputs.values()])
    assert all(line.replace("\t", " ").isprintable() for line in lines(run.log))


@pytest.mark.slow
@pytest.mark.parametrize("case", [*GOES_ON])
def test_log_has_no_command_of_a_library(case: str, action: Action) -> None:
    run = run_with(action, GOES_ON[case])
    assert_only_text(run)
    assert run.status == 1
    assert [code_of(error) for error in annotations(run)] == [ErrorCode.VED_ITSELF_FAILED]
    assert run.outputs["failed"] == "1"
    assert f"#{ErrorCode.VED_ITSELF_FAILED}" in run.summary


@pytest.mark.slow
@pytest.mark.parametrize("case", [*ENDS])
def test_log_has_no_command_of_a_dying_process(case: str, action: Action) -> None:
    run = run_with(action, ENDS[case])
    assert_only_text(run)
    assert run.status not in (0, 1)
    assert annotations(run) == []


# Modules and variables of the workspace

MARK = "import pathlib; pathlib.Path({path!r}).touch()\n"
MODULES = [
    *("sitecustomize", "usercustomize", "ved/__init__", "logging", "requests", "jax", "yaml"),
    *("numpy/__init__", "huggingface_hub/__init__", "encodings/__init__", "hf_transfer", "runpy"),
]
LIBRARY = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def plant(folder: Path, marks: Path) -> None:
    """Write modules that leave a mark when they are imported."""
    marks.mkdir(exist_ok=True)
    for module in MODULES:
        path = folder / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MARK.format(path=str(marks / module.replace("/", "-"))))
    (folder / "evil.pth").write_text(MARK.format(path=str(marks / "pth")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"PYTHONPATH": "."},
        {"PYTHONPATH": "WORKSPACE", "PYTHONSAFEPATH": ""},
        {"PYTHONHOME": "WORKSPACE", "PYTHONSTARTUP": "WORKSPACE/jax.py", "PYTHONINSPECT": "1"},
        {"PYTHONUSERBASE": "WORKSPACE", "PYTHONBREAKPOINT": "jax.x", "PYTHONOPTIMIZE": "2"},
        {"PYTHONWARNINGS": "error::jax.X", "PYTHONPLATLIBDIR": "WORKSPACE", "PYTHONVERBOSE": "1"},
    ],
    ids=lambda variables: "-".join(variables) or "none",
)
def test_python_runs_no_module_of_the_workspace(
    variables: dict[str, str], action: Action, tmp_path: Path
) -> None:
    workspace, home, marks = action.workspace, action.folder / "home", tmp_path / "marks"
    for folder in (workspace, workspace / LIBRARY, home / ".local" / LIBRARY):
        plant(folder, marks)
    named = {name: value.replace("WORKSPACE", str(workspace)) for name, value in variables.items()}
    run = action.run_as_process("pairs: 1", named)
    assert [code_of(error) for error in annotations(run)] == [ErrorCode.WRONG_TYPE]
    assert sorted(path.name for path in marks.iterdir()) == []


def test_libraries_get_no_settings_of_the_workspace(action: Action, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    driver = tmp_path / "driver.py"
    driver.write_text(
        DRIVER.replace("CODE", "raise ValueError(sorted(os.environ), os.environ['NETRC'])")
    )
    names = ["OPENSSL_CONF", "OPENSSL_MODULES", "FSSPEC_CONFIG_DIR", "PYTHONPATH", "RUST_LOG"]
    names += ["JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS", "HF_MODULES_CACHE", "PYDANTIC_X"]
    variables = {**dict.fromkeys(names, "x"), "SSLKEYLOGFILE": str(keys), "NETRC": "x"}
    run = action.run_as_process(
        [pair("owner/x")], variables, command=(*COMMAND[:-1], str(driver)), token="hf_x"
    )
    (kept,) = [line for line in lines(run.log) if line.startswith("ValueError: ")]
    assert "'INPUT_TOKEN'" in kept
    assert [name for name in [*names, "SSLKEYLOGFILE"] if f"'{name}'" in kept] == []
    assert "/dev/null" in kept
    assert not keys.exists()


def test_container_runs_python_as_the_tests_do() -> None:
    dockerfile = (ENTRYPOINT.parent / "Dockerfile").read_text()
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)
    python, *options, script = json.loads(entrypoint)
    assert (python, Path(script).name) == ("python", ENTRYPOINT.name)
    assert (sys.executable, *options, str(ENTRYPOINT)) == COMMAND


# Secrets

SECRETS = {
    "HF_TOKEN": "hf_first+token/=",
    "HUGGING_FACE_HUB_TOKEN": "hf_second",
    "GITHUB_TOKEN": "ghs_of the job",
    "ACTIONS_RUNTIME_TOKEN": "of-the-runner",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-identity",
    "AWS_SECRET_ACCESS_KEY": "secret/of+a&cloud",
    "DB_PASSWORD": 'pass"word<1>',
    "SETTINGS": "github_pat_of_somebody",
    "DB_PASS": "of-another-database",
    "MY_PAT": "of_somebody_else",
    "SLACK_WEBHOOK_URL": "https://hooks.example/services/T0/B0/of-a-webhook",
    "OTHER": "sk-proj-of-another-service",
}
OTHERS = {
    "MIRROR": ("https://me:of%20a%20URL@host.example/x", "of a URL"),
    "STORAGE": ("https://host.example/x?v=1&sig=of-a-signed-url&y=2", "of-a-signed-url"),
    "HEADER": ("Authorization: Bearer of-a-header", "of-a-header"),
}
STORED = ("hf_in_the_file", "hf_of_another_name")

FORMS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "URL": lambda text: quote(text, safe=""),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "basic": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "HTML": html.escape,
    "hexadecimal": lambda text: text.encode().hex(),
    "URL of all": lambda text: "".join(f"%{ord(each):02x}" for each in text),
    "URL twice": lambda text: "".join(f"%25{ord(each):02X}" for each in text),
    "JSON of all": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "HTML of some": lambda text: html.escape(text[:2]) + "".join(f"&#{ord(c)};" for c in text[2:]),
    "HTML of all": lambda text: "".join(f"&#x{ord(each):04X};" for each in text),
    "Python": lambda text: "".join(f"\\x{ord(each):02x}" for each in text),
    "beginning": lambda text: f"{text[:-1]}…",
}


def environment_of(action: Action) -> tuple[dict[str, str], list[str]]:
    """Return variables and files with secrets, and the secrets."""
    home = action.folder / "hf"
    home.mkdir(parents=True)
    (home / "token").write_text(f"{STORED[0]}\n")
    (home / "stored_tokens").write_text(f"[other]\nhf_token = {STORED[1]}\n")
    variables = {**SECRETS, **{name: value for name, (value, _) in OTHERS.items()}}
    secrets = [*SECRETS.values(), *STORED, *(secret for _, secret in OTHERS.values())]
    return {**variables, "HF_HOME": str(home)}, secrets


@pytest.mark.parametrize("form", [*FORMS])
@pytest.mark.parametrize("token", ["", TOKEN])
def test_secret_that_a_server_repeats_is_not_shown(form: str, token: str, action: Action) -> None:
    variables, secrets = environment_of(action)
    repeated = [FORMS[form](secret) for secret in secrets]

    def refuse(_: Request) -> Answer:
        return Answer.of_json({"error": " and ".join(repeated)}, 403)

    files = {"results_file": "results.json", "checksums_file": "checksums.txt"}
    with serving(refuse) as server:
        run = action.run(
            [pair("owner/x")], variables, endpoint=server.endpoint, token=token, **files
        )
    assert run.status > 0
    assert "***" in annotations(run)[0].message
    written = [path.read_text() for path in action.workspace.iterdir()]
    texts = "\n".join([*shown(run), run.summary, *run.outputs.values(), *written])
    assert [secret for secret in (*secrets, *repeated) if secret in texts] == []
    masked = {each.message for each in commands(run.log) if each.name == "add-mask"}
    assert masked >= {*secrets}


@pytest.fixture
def building_action(hub: LocalHub, tmp_path: Path) -> Action:
    """Return the action with a token that can publish to `owner`."""
    return Action(tmp_path / "runner", {"token": TOKEN, "endpoint": hub.endpoint})


@pytest.mark.parametrize(
    ("name", "form"),
    [("GITHUB_TOKEN", "itself"), ("AWS_SECRET_ACCESS_KEY", "URL"), ("HF_TOKEN", "basic")],
)
def test_secret_in_a_source_is_not_published(
    name: str, form: str, building_action: Action, hub: LocalHub
) -> None:
    repo = f"owner/secret-{form}"
    text = f"as {FORMS[form](SECRETS[name])} says"
    variables = {name: SECRETS[name]}
    # The template is published, and other settings that VED does not need are not.
    change = with_value_in_file(
        "team/gpt2", "tokenizer_config.json", "chat_template", lambda _: text
    )
    with impostor(hub.endpoint, change) as server:
        run = building_action.run([pair(repo)], variables, endpoint=server.endpoint)
    (row,) = rows_of(run)
    assert row["codes"] == [ErrorCode.SECRET_IN_CHECKPOINT]
    if client(hub).repo_exists(repo):
        assert client(hub).list_repo_files(repo) == [".gitattributes"]


@pytest.mark.parametrize("length", [2**20 - 10, 2**20 + 2**16 - 10, 2**20 + 2**16 - 1])
def test_secret_in_a_line_without_end_is_in_no_part(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Secrets()
    known.add(SECRET)
    monkeypatch.setattr("ved.text.KNOWN", known)
    stream = io.BytesIO()
    log = StepLog(stream)
    text = "x" * length + SECRET + "y" * 2**20 + "\n"
    for start in range(0, len(text), 2**16):
        log.write(text[start : start + 2**16])
    log.finish()
    written = stream.getvalue().decode()
    for size in range(6, len(SECRET)):
        assert SECRET[-size:] not in written
        assert SECRET[:size] not in written


def test_token_of_xet_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: Request) -> Answer:
        return Answer(200, {"X-Xet-Access-Token": "of-xet"})

    with serving(answer) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        connect()
        get_session().get(f"{server.endpoint}/api/models/owner/x/xet-read-token/main")
    assert "of-xet" in KNOWN

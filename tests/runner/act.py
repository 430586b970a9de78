"""Run workflows of a user's repository under act, and read what act reports."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ARTIFACTS = Path(__file__).parent / "artifacts"
USED = re.compile(r"uses: *(ved-action/ved|actions/(?:up|down)load-artifact)(?:/[\w./-]+)?@(\S+)")
NAME = "octo-org/octo-repo"
FORK = "someone/fork"


@dataclass(frozen=True)
class Run:
    """What act reported of one run of a workflow.

    Attributes:
        status: act's exit status, 0 if all jobs succeeded.
        entries: the entries of act's log; a line that is not JSON is an entry with `msg`.
        seconds: the duration in seconds.
    """

    status: int
    entries: list[dict[str, Any]]
    seconds: float

    @cached_property
    def log(self) -> str:
        return "\n".join(str(entry.get("msg", "")) for entry in self.entries)

    @property
    def jobs(self) -> dict[str, str]:
        """The result of each job, by its name."""
        return {e["job"].strip(): e["jobResult"] for e in self.entries if e.get("jobResult")}

    @property
    def summaries(self) -> list[str]:
        return [entry["content"] for entry in self._of("summary")]

    @property
    def errors(self) -> list[tuple[str, str]]:
        """The place, as `file:line`, and the error code of each annotation with an error."""
        found = []
        for entry in self._of("error"):
            place = entry.get("kvPairs") or {}
            code = re.search(r"troubleshooting\.md#([\w-]+)", entry["arg"])
            found.append((f"{place.get('file')}:{place.get('line')}", code[1] if code else ""))
        return found

    def output(self, name: str) -> str | None:
        """Return the last value of an output of a step."""
        values = [entry["arg"] for entry in self._of("set-output") if entry.get("name") == name]
        return values[-1] if values else None

    @property
    def actions(self) -> dict[str, str]:
        """The action for each pair in the last output `results`, by the repo's name."""
        results = json.loads(self.output("results") or "[]")
        return {result["repo"].partition("/")[2]: result["action"] for result in results}

    def _of(self, command: str) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry.get("command") == command]


@dataclass(frozen=True)
class Act:
    """act with its settings.

    Attributes:
        program: act's executable.
        engine: the socket of a container engine.
        action: a checkout of VED, which `ved-action/ved` at any ref refers to.
        directory: for everything that act and the runs write.
    """

    program: Path
    engine: Path
    action: Path
    directory: Path

    def command(
        self, event: str, workflow: Path, payload: Path, secrets: Mapping[str, str]
    ) -> list[str | Path]:
        """Return the command that runs a workflow for an event."""
        artifacts = self.directory / "artifacts" / str(time.time_ns())
        command: list[str | Path] = [
            *(self.program, event, "--json", "--container-daemon-socket", "-", "--pull=false"),
            *("--action-cache-path", self.directory / "actions", "--no-cache-server"),
            *("--concurrent-jobs", "2", "--env", f"ARTIFACTS={artifacts}"),
            # The jobs' steps run on this machine.
            *("-P", "ubuntu-latest=-self-hosted", "-P", "ubuntu-24.04=-self-hosted"),
            *("--actor", "octocat", "--eventpath", payload, "--workflows", workflow),
        ]
        callees = self.action.glob(".github/workflows/*.yml")
        texts = [path.read_text() for path in (workflow, *callees)]
        for action, ref in sorted({use for text in texts for use in USED.findall(text)}):
            local = {
                "ved-action/ved": self.action,
                "actions/upload-artifact": ARTIFACTS / "upload",
                "actions/download-artifact": ARTIFACTS / "download",
            }[action]
            command += ["--local-repository", f"{action}@{ref}={local}"]
        for name, value in secrets.items():
            command += ["--secret", f"{name}={value}"]
        return command

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of act's process."""
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "DOCKER_HOST": f"unix://{self.engine}",
        }


@dataclass
class Repository:
    """A user's repository on GitHub, with one branch.

    Attributes:
        act: what runs its workflows.
        directory: its clone, empty at first.
        secrets: the stored secrets.
    """

    act: Act
    directory: Path
    secrets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._git("init", "--quiet", "--initial-branch", "main")
        self._git("remote", "add", "origin", f"https://github.com/{NAME}")

    def commit(self, files: Mapping[str, str]) -> None:
        """Write files and commit them all."""
        for name, text in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", "Change")

    def run(
        self,
        event: str,
        workflow: str,
        *,
        head: str = NAME,
        on_line: Callable[[str], object] = lambda _: None,
    ) -> Run:
        """Run a workflow, and return what act reports.

        Args:
            event: the event, such as `push`.
            workflow: the name of a file in .github/workflows.
            head: the repository that a pull request comes from.
            on_line: is called with each line of act's log, while the workflow runs.
        """
        payload = self.act.directory / "event.json"
        payload.write_text(json.dumps(self._payload(event, head)))
        path = self.directory / ".github/workflows" / workflow
        started = time.monotonic()
        entries = []
        with subprocess.Popen(
            self.act.command(event, path, payload, self.secrets),
            cwd=self.directory,
            env=self.act.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line)
                entries.append(_entry(line.rstrip("\n")))
        return Run(process.returncode, entries, time.monotonic() - started)

    def _payload(self, event: str, head: str) -> dict[str, Any]:
        """Return the part of GitHub's payload that VED and the workflows read."""
        repository = {"full_name": NAME, "default_branch": "main"}
        payload: dict[str, Any] = {"repository": repository, "ref": "refs/heads/main"}
        if event.startswith("pull_request"):
            commit = self._git("rev-parse", "HEAD")
            payload |= {
                "number": 7,
                "pull_request": {
                    "number": 7,
                    "head": {"ref": "pairs", "sha": commit, "repo": {"full_name": head}},
                    "base": {"ref": "main", "sha": commit, "repo": repository},
                },
            }
        return payload

    def _git(self, *arguments: str) -> str:
        user = ("-c", "user.name=octocat", "-c", "user.email=octocat@example.org")
        command = ["git", *user, *arguments]
        run = subprocess.run(
            command, cwd=self.directory, check=True, stdout=subprocess.PIPE, text=True
        )
        return run.stdout.strip()


def _entry(line: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"msg": line}
    return entry


def copy_of_head(checkout: Path, target: Path, *, keep_digest: bool) -> None:
    """Write the files of a checkout's HEAD as an action that act can run.

    Args:
        checkout: a git checkout of VED.
        target: a directory, which is replaced.
        keep_digest: keep the digest of the base image; the engine has to pull it then.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "-C", checkout, "archive", "HEAD"], check=True, stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "-x", "-C", target], input=archive.stdout, check=True)
    if not keep_digest:
        dockerfile = target / "Dockerfile"
        text = re.sub(r"(?m)^(FROM [^ @]+)@sha256:[0-9a-f]+", r"\1", dockerfile.read_text())
        dockerfile.write_text(text)


def with_endpoint(workflow: str, endpoint: str) -> str:
    """Return a workflow whose uses of VED all have an input `endpoint`."""
    content = yaml.safe_load(workflow)
    content["on"] = content.pop(True)  # YAML 1.1 reads `on` as true
    for job in content["jobs"].values():
        for user in (job, *job.get("steps", ())):
            if re.match(r"\./|ved-action/ved[/@]", user.get("uses", "")):
                user.setdefault("with", {})["endpoint"] = endpoint
    return yaml.safe_dump(content, sort_keys=False)

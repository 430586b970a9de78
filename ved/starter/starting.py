"""Find out what to write, write it, and say what comes next."""

import os
from collections.abc import Mapping
from pathlib import Path

from ved.errors import ErrorCode, RequestError
from ved.redaction import find_tokens
from ved.starter.files import UNRELEASED, Choices, write_files, wrong_choice
from ved.starter.installed import REPOSITORY
from ved.starter.place import MANIFEST, WORKFLOW, Place, place_of
from ved.starter.questions import Terminal, ask


def start_repository(
    folder: Path,
    options: Mapping[str, str | None],
    keyless: bool | None,
    terminal: Terminal | None,
) -> list[str]:
    """Write the files that a repository does not have; return what was done, and what comes next.

    Args:
        folder: the repository, or a folder in it.
        options: the namespace, encoder, decoder and repo; None for what is not given.
        keyless: whether the workflow publishes without a stored token; None if not given.
        terminal: asks for what is not given; None to take the defaults.

    Raises:
        RequestError: a value is missing or wrong, or is for a file that exists.
        OSError: a file cannot be written.
    """
    if next(find_tokens(str(folder)), None):
        raise RequestError(
            "The directory is a token and not a name, so nothing is written.",
            "Give the directory of the repository. Revoke the token if anybody else could read it.",
            code=ErrorCode.WRONG_INPUT,
        )
    if folder.exists() and not folder.is_dir():
        raise RequestError(
            f"{folder} is not a directory.",
            "Give the directory of the repository.",
            code=ErrorCode.WRONG_INPUT,
        )
    place = place_of(folder)
    place.check()
    given = {name: value for name, value in options.items() if value is not None}
    has_manifest = os.path.lexists(folder / MANIFEST)
    if has_manifest and given:
        raise RequestError(
            f"{folder / MANIFEST} exists, and ved init changes no file.",
            "Add the pair to it yourself, or omit the options of the pair.",
            code=ErrorCode.WRONG_INPUT,
        )
    choices = Choices(keyless=bool(keyless))
    for name, value in given.items():
        choices = _with(choices, name, value)
    needed = {name for name in options if name not in given and not has_manifest}
    if "/" in choices.repo:
        needed.discard("namespace")
    if keyless is None and not os.path.lexists(place.paths[WORKFLOW]):
        needed.add("keyless")
    if terminal is not None:
        choices = ask(choices, needed, terminal)
    elif "namespace" in needed:
        raise RequestError(
            "The option --namespace is missing.",
            "Give the user or organization on the Hugging Face Hub that gets the checkpoints.",
            code=ErrorCode.WRONG_INPUT,
        )
    written = write_files(choices, place)
    lines = [
        f"Wrote {place.paths[name]}" if is_new else f"{place.paths[name]} exists, and is unchanged"
        for name, is_new in written.items()
    ]
    if written[WORKFLOW] and not place.is_root:
        lines.append(
            "GitHub reads workflows only at the root of a repository. So the workflow is there, "
            f"and names {place.manifest}."
        )
    elif written[MANIFEST] and not place.is_root:
        lines.append(
            f"Add {place.manifest} to its paths, and a job whose input manifest is "
            f"{place.manifest}."
        )
    return [*lines, *(_next_steps(choices, place) if written[WORKFLOW] else [])]


def _with(choices: Choices, name: str, value: str) -> Choices:
    """Return choices with a value.

    Raises:
        RequestError: the value is empty, or the manifest would not be valid.
    """
    if not value:
        raise RequestError(
            f"The option --{name} is empty.",
            "Give a name, or omit the option.",
            code=ErrorCode.WRONG_INPUT,
        )
    changed = choices.with_text(name, value)
    if problem := wrong_choice(changed):
        raise RequestError(f"The option --{name}: {problem}.", code=ErrorCode.WRONG_INPUT)
    return changed


def _next_steps(choices: Choices, place: Place) -> list[str]:
    plan = "ved plan" if place.folder == Path() else f"ved plan {place.paths[MANIFEST]}"
    steps = [f"Run `{plan}`: it says what a build would do, and why."]
    release = choices.release()
    if release == UNRELEASED:
        steps.append(
            f"This copy of VED is not a release: replace the commit of zeros in {WORKFLOW} by "
            "that of a release, or by main."
        )
    elif release.startswith("v"):
        steps.append(
            f"{WORKFLOW} names VED by its tag. To pin the commit, replace {release} by the hash "
            f"that this prints: git ls-remote {REPOSITORY} '{release}^{{}}'"
        )
    if choices.keyless:
        steps.append(
            "Create each repo on the Hub. List this repository and checkpoints.yml there under "
            "Settings, Trusted Publishers."
        )
    else:
        steps.append(
            "Create a token that can write to the namespace, at "
            "https://huggingface.co/settings/tokens. Store it on GitHub as the secret HF_TOKEN."
        )
    steps.append("Open a pull request: its check has the plan. Merge it: VED publishes.")
    return ["", "Next:", *(f"{number}. {step}" for number, step in enumerate(steps, 1))]

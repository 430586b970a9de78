"""The files of a new repository. Existing files are never changed."""

import os
import re
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from ved.families.family import Role
from ved.families.model_names import refusal_by_name
from ved.manifest.loading import ManifestError, loads
from ved.redaction import may_have_token
from ved.starter.installed import installed_pin
from ved.starter.place import MANIFEST, WORKFLOW, Place, scalar

UNRELEASED = "0" * 40
"""The commit of VED in the workflow before the first release."""

_RELEASE = re.compile(r"(?P<uses>ved-action/ved/\S+@)(?P<ref>\S+) # \S+")

_PLACEHOLDER = "owner"
_SCHEMA = "https://raw.githubusercontent.com/ved-action/ved/main/schema/pairs.schema.json"

_VARIANT = re.compile(
    r"-(?:base|tiny|small|medium|large|huge|giant|patch|in\d|v\d).*", re.IGNORECASE
)
"""The part of a model's name that is not its family, such as -base-patch16-224."""


@dataclass(frozen=True)
class Choices:
    """The content of the files.

    Attributes:
        namespace: the user or organization to publish to; empty if `repo` has its owner.
        encoder: the vision encoder.
        decoder: the text decoder.
        repo: the repo to publish to; empty for a name after encoder and decoder.
        keyless: whether the workflow publishes with the identity of its job, instead of a token
            that GitHub stores as a secret.
    """

    namespace: str = ""
    encoder: str = "google/vit-base-patch16-224-in21k"
    decoder: str = "openai-community/gpt2"
    repo: str = ""
    keyless: bool = False

    @property
    def repo_name(self) -> str:
        """The repo to publish to, such as vit-gpt2."""
        return self.repo or f"{_family(self.encoder)}-{_family(self.decoder)}"

    def manifest(self) -> str:
        """Return the manifest."""
        lines = [
            f"# yaml-language-server: $schema={_SCHEMA}",
            *([f"namespace: {scalar(self.namespace)}"] if self.namespace else []),
            "pairs:",
            f"  - repo: {scalar(self.repo_name)}",
            f"    encoder: {scalar(self.encoder)}",
            f"    decoder: {scalar(self.decoder)}",
        ]
        return "".join(f"{line}\n" for line in lines)

    def workflow(self) -> str:
        """Return the workflow, which runs VED at the commit that is installed, if that is known."""
        name = "checkpoints-keyless.yml" if self.keyless else "checkpoints.yml"
        text = files(__package__).joinpath(name).read_text(encoding="utf-8")
        pin = installed_pin()
        return _RELEASE.sub(rf"\g<uses>{pin.commit} # {pin.name}", text) if pin else text

    def release(self) -> str:
        """Return the commit or tag of VED that the workflow runs."""
        found = _RELEASE.search(self.workflow())
        return found["ref"] if found else ""

    def with_text(self, name: str, text: str) -> "Choices":
        """Return the choices with another namespace, encoder, decoder or repo."""
        changes: dict[str, Any] = {name: text}
        return replace(self, **changes)


def wrong_choice(choices: Choices) -> str | None:
    """Return what is wrong with the manifest of choices; None if it is valid.

    A namespace that is not chosen yet is not a mistake. The text repeats no token.
    """
    names = (choices.namespace, choices.encoder, choices.decoder, choices.repo)
    if any(map(may_have_token, names)):
        return (
            "this is a token and not a name, so it is not written. Revoke it if anybody else "
            "could read it here"
        )
    if not choices.namespace and "/" not in choices.repo:
        choices = replace(choices, namespace=_PLACEHOLDER)
    try:
        loads(choices.manifest().encode(errors="backslashreplace"))
    except ManifestError as error:
        return error.problems[0].message
    return _wrong_role("encoder", choices.encoder) or _wrong_role("decoder", choices.decoder)


def _wrong_role(role: Role, model: str) -> str | None:
    """Return what is wrong with a model that cannot have a role, by its name."""
    refusal = refusal_by_name(role, model)
    if refusal is None:
        return None
    return (
        f"by its name, {model} cannot be the {role}: {refusal.reason}; use {refusal.use}, for "
        "instance"
    )


def write_files(choices: Choices, place: Place) -> dict[str, bool]:
    """Write the files that do not exist yet.

    Returns:
        whether each file was written, by name.

    Raises:
        OSError: a file cannot be written, or was created meanwhile.
    """
    workflow = place.in_workflow(choices.workflow())
    contents = {MANIFEST: choices.manifest(), WORKFLOW: workflow}
    written = {name: not os.path.lexists(path) for name, path in place.paths.items()}
    for path in place.paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    for name, path in place.paths.items():
        if written[name]:
            with path.open("x", encoding="utf-8") as file:
                file.write(contents[name])
    return written


def _family(model: str) -> str:
    name = model.rstrip("/").rpartition("/")[2].partition("@")[0]
    letters = re.sub(r"[^A-Za-z0-9]+", "-", _VARIANT.sub("", name))
    return letters.strip("-").lower() or "model"

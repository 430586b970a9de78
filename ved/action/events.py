"""Decide from the event of a GitHub Actions run whether the run may publish.

Source of the formats: https://docs.github.com/webhooks/webhook-events-and-payloads.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ved.errors import ErrorCode, RequestError

_NAME_CHARACTERS = 100
"""The maximum length of a repository's name in messages; an event can contain any text."""


def check_may_publish(environ: Mapping[str, str]) -> None:
    """Check that a run is not for code that nobody has merged yet.

    Args:
        environ: the environment variables of the step.

    Raises:
        RequestError: the run is for a fork's code, or for the event `pull_request_target`, which
            gives a pull request access to the repository's secrets.
    """
    origin = fork(environ)
    if origin or environ.get("GITHUB_EVENT_NAME") == "pull_request_target":
        source = f"a fork's code ({origin})" if origin else "the event pull_request_target"
        raise RequestError(
            f"This run is for {source}, which VED never publishes.",
            "Publish after the merge. For pull requests use mode: plan, which needs no secret.",
            code=ErrorCode.PULL_REQUESTS_NEVER_PUBLISH,
        )


def fork(environ: Mapping[str, str]) -> str:
    """Return the fork whose code a run is for; "" if the code is the repository's own."""
    try:
        event = json.loads(Path(environ.get("GITHUB_EVENT_PATH", "")).read_text("utf-8"))
        head = _head_repository(event)
        name = str(head["full_name"]) if head else "deleted since"
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return "unknown" if _always_has_head(environ.get("GITHUB_EVENT_NAME", "")) else ""
    if name == environ.get("GITHUB_REPOSITORY"):
        return ""
    return "".join(char if char.isprintable() else " " for char in name[:_NAME_CHARACTERS])


def _always_has_head(event_name: str) -> bool:
    return event_name.startswith("pull_request") or event_name == "workflow_run"


def _head_repository(event: dict[str, Any]) -> Any:
    """Return the repository whose code an event is for; null if it was deleted.

    Raises:
        KeyError: the event is not for other code than the repository's own.
    """
    if "workflow_run" in event:
        return event["workflow_run"]["head_repository"]
    return event["pull_request"]["head"]["repo"]

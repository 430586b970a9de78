"""The event that a GitHub Actions run is for, and whether it may publish.

Source of the formats: https://docs.github.com/webhooks/webhook-events-and-payloads.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ved.errors import ErrorCode, RequestError

_SHOWN = 100  # characters of a name from outside


def check_may_publish(environ: Mapping[str, str]) -> None:
    """Make sure that nobody's proposal is published before it is merged.

    Raises:
        RequestError: the run is for a fork's code, or for a pull request with our secrets at hand.
    """
    origin = fork(environ)
    if origin or environ.get("GITHUB_EVENT_NAME") == "pull_request_target":
        whose = f"a fork's code ({origin})" if origin else "the event pull_request_target"
        raise RequestError(
            f"This run is for {whose}, which never publishes.",
            "Publish once it is merged; for pull requests, use mode: plan, which needs no secret.",
            code=ErrorCode.PULL_REQUESTS_NEVER_PUBLISH,
        )


def fork(environ: Mapping[str, str]) -> str:
    """Return the fork whose code a run is about; empty if it is about its own repository's."""
    try:
        event = json.loads(Path(environ.get("GITHUB_EVENT_PATH", "")).read_text("utf-8"))
        head = _head(event)
        name = str(head["full_name"]) if head else "deleted since"
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        # Where there has to be a head, and none can be read, it is nobody's that is known.
        return "unknown" if _needs_head(environ.get("GITHUB_EVENT_NAME", "")) else ""
    shown = "".join(char if char.isprintable() else " " for char in name[:_SHOWN])
    return "" if name == environ.get("GITHUB_REPOSITORY") else shown


def _needs_head(event_name: str) -> bool:
    return event_name.startswith("pull_request") or event_name == "workflow_run"


def _head(event: dict[str, Any]) -> Any:
    """Return the repository whose code an event is about; KeyError where it is about none."""
    if "workflow_run" in event:
        return event["workflow_run"]["head_repository"]
    return event["pull_request"]["head"]["repo"]

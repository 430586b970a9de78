"""Decide from the event of a GitHub Actions run whether the run may publish.

Source of the names: https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from ved.errors import ErrorCode, RequestError
from ved.text import quoted

PUBLISHING = ("push", "release", "schedule", "workflow_dispatch")
"""The events that publish. Only people who can write to the repository cause them, and they run for
its own code. A reusable workflow has the event of the workflow that calls it. All others may be for
code that nobody has merged yet: that of a pull request, a comment or a merge queue, or code that
another program names."""

_UNMERGED = {
    *("check_run", "check_suite", "client_payload", "comment", "deployment", "discussion", "issue"),
    *("merge_group", "pull_request", "workflow_run"),
}
"""Keys of the payloads of other events, in case that a runner gives an event no name."""


def may_publish() -> bool:
    """Return whether this run may publish, see `check_may_publish`."""
    try:
        check_may_publish(os.environ)
    except RequestError:
        return False
    return True


def check_may_publish(environ: Mapping[str, str]) -> None:
    """Check that a run is not for code that nobody has merged yet.

    Args:
        environ: the environment variables of the step. Without an event, this is not a run
            of GitHub Actions.

    Raises:
        RequestError: the event is not one of `PUBLISHING`, or its payload is that of another one.
    """
    name = environ.get("GITHUB_EVENT_NAME")
    is_outside = name is None and "GITHUB_RUN_ID" not in environ
    unmerged = _UNMERGED & _payload_keys(environ.get("GITHUB_EVENT_PATH", ""))
    if unmerged or (name not in PUBLISHING and not is_outside):
        about = quoted(name or ", ".join(sorted(unmerged)))
        raise RequestError(
            f"This run is for the event {about}, for which VED never publishes.",
            f"Publish after the merge, on one of {', '.join(PUBLISHING)}. For pull requests use "
            "mode: plan, which needs no secret.",
            code=ErrorCode.PULL_REQUESTS_NEVER_PUBLISH,
        )


def _payload_keys(path: str) -> set[str]:
    """Return the keys of an event's payload; none if it is not readable."""
    try:
        return {*dict(json.loads(Path(path).read_text("utf-8")))}
    except (OSError, ValueError, TypeError, RecursionError):
        return set()

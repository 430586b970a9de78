"""Decide from the event of a GitHub Actions run whether the run may publish.

Source of the names: https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows.
"""

from collections.abc import Mapping

from ved.errors import ErrorCode, RequestError
from ved.text import quoted

PUBLISHING = ("push", "release", "schedule", "workflow_dispatch")
"""The events that publish. Only people who can write to the repository cause them, and they run for
its own code. A reusable workflow has the event of the workflow that calls it. All others may be for
code that nobody has merged yet: that of a pull request, a comment or a merge queue, or code that
another program names."""


def check_may_publish(environ: Mapping[str, str]) -> None:
    """Check that a run is not for code that nobody has merged yet.

    Args:
        environ: the environment variables of the step. Without an event, this is no run of GitHub
            Actions.

    Raises:
        RequestError: the event is not one of `PUBLISHING`.
    """
    name = environ.get("GITHUB_EVENT_NAME")
    is_outside = name is None and "GITHUB_RUN_ID" not in environ
    if name not in PUBLISHING and not is_outside:
        raise RequestError(
            f"This run is for the event {quoted(name or '')}, for which VED never publishes.",
            f"Publish after the merge, on one of {', '.join(PUBLISHING)}. For pull requests use "
            "mode: plan, which needs no secret.",
            code=ErrorCode.PULL_REQUESTS_NEVER_PUBLISH,
        )

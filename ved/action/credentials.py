"""Decide what a job publishes with: a stored token, or its own identity (keyless)."""

import os

from huggingface_hub import HfApi

from ved.action import events
from ved.action.inputs import Inputs
from ved.action.workflow_commands import WorkflowCommands
from ved.errors import ErrorCode, RequestError
from ved.hub import HubAccess, Publisher, offers_identity
from ved.hub.oidc_errors import empty_token
from ved.text import quoted


def publisher_of(inputs: Inputs, api: HfApi, runner: WorkflowCommands) -> Publisher | None:
    """Return the identity that this job publishes with; None if it has a stored token only.

    Args:
        inputs: the action's inputs.
        api: the client of the Hub, with the stored token if there is one.
        runner: masks tokens that become known.

    Raises:
        RequestError: the job has nothing to publish with.
    """
    has_token, keyless = HubAccess(api).has_token, _keyless(inputs)
    if keyless is False:
        if not has_token:
            raise empty_token("The input token is empty.")
        return None
    offers = offers_identity(os.environ)
    # Without a token and an identity, the error says what may be missing.
    if not (offers or keyless or has_token) and _is_job():
        raise empty_token(
            "The input token is empty, and the job may not ask GitHub for an id token.",
            " To publish without a stored token, give the job permissions: {id-token: write, "
            "contents: read}.",
        )
    return Publisher(api.endpoint, os.environ, runner.mask) if offers or keyless else None


def check_plan(inputs: Inputs, api: HfApi) -> RequestError | None:
    """Check that the jobs that build a plan can publish, as far as this job can know.

    Returns:
        An error of those jobs, if this job cannot know whether they have an identity.

    Raises:
        RequestError: they need a stored token, and there is none.
    """
    keyless = _keyless(inputs)
    if HubAccess(api).has_token or keyless or not (_is_job() and events.may_publish()):
        return None
    if keyless is False:
        raise empty_token("The input token is empty, so no job could publish.")
    if offers_identity(os.environ):
        return None
    return empty_token(
        "The input token is empty: the plan does not see private repos, and checks no rights.",
        " If the jobs that build publish without a stored token, set keyless: true.",
    )


def _keyless(inputs: Inputs) -> bool | None:
    if inputs.keyless not in ("", "true", "false"):
        raise RequestError(
            f"The input keyless is {quoted(inputs.keyless)}.",
            "Set it to true or false, or leave it out.",
            code=ErrorCode.WRONG_INPUT,
        )
    return None if inputs.keyless == "" else inputs.keyless == "true"


def _is_job() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"

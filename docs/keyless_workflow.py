"""Make the reusable workflow that publishes without a stored token from the one that uses it.

A job of a called workflow cannot have a permission that the calling job does not have, and GitHub
ends a run at its start if one asks for it. So the permission needs a workflow of its own.
"""

_CHANGES = (
    (
        "# Builds the pairs of a manifest in several parallel jobs.",
        "# Like build-pairs.yml, but each job publishes without a stored token. `make docs`\n"
        "# writes this file.",
    ),
    ("name: Build pairs\n", "name: Build pairs without a stored token\n"),
    (
        "description: A Hugging Face token that can write to the manifest's namespaces\n",
        "description: A token, if one is needed to read private sources or to create repos\n",
    ),
    ("format('ved-build-pairs-{0}", "format('ved-build-pairs-keyless-{0}"),
    ("keyless: false\n", "keyless: true\n"),
)
_STEPS_OF_BUILD = "    env:\n      RESULTS: attempt-${{ github.run_attempt }}-shard-"
_READS = "    permissions:\n      contents: read\n"
_ASKS = "      id-token: write # to ask GitHub for the job's identity\n"


def keyless_workflow(workflow: str) -> str:
    """Return build-pairs-keyless.yml.

    Args:
        workflow: the text of build-pairs.yml.
    """
    for old, new in _CHANGES:
        assert old in workflow, old
        workflow = workflow.replace(old, new)
    old = _READS + _STEPS_OF_BUILD
    assert workflow.count(old) == 1, old
    return workflow.replace(old, _READS + _ASKS + _STEPS_OF_BUILD)

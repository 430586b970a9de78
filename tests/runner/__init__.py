"""The action and its workflows under nektos/act, a runner of GitHub workflows, against a local Hub.

Neither GitHub nor a registry of images takes part. Job steps run on this machine. The action runs
in a container, whose mounts and variables are those of GitHub's own runner (`container_layout.py`).

act differs from GitHub: it ignores permissions, concurrency, time limits and filters of paths.
`actions/checkout` is act's own, and copies the repository. `artifacts/` replaces the actions for
artifacts, because newer clients do not work with act's server.

VED_RUNNER_ENGINE selects the container engine. Without it, the tests are skipped:

- `podman`: podman with a storage and a base image of its own (`engine.sh`). Linux, as root.
- a path: the socket of a running engine with Docker's API, which can pull the base image.
"""

"""GitHub Actions: the action's inputs, events, workflow commands, outputs and job summary."""

from ved.action.main import run

__all__ = ["run"]

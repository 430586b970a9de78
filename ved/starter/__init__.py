"""Write the two files that a new repository needs: a manifest, and the workflow that builds it."""

from ved.starter.questions import Terminal
from ved.starter.starting import start_repository

__all__ = ["Terminal", "start_repository"]

"""Run a plan: download, assemble, publish and check; verify a published checkpoint."""

from ved.execution.checkpoint_dir import BuiltCheckpoint, build_checkpoint
from ved.execution.run import run_plan
from ved.execution.verification import Verdict, verify

__all__ = ["BuiltCheckpoint", "Verdict", "build_checkpoint", "run_plan", "verify"]

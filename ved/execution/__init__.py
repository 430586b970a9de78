"""Run a plan: download, assemble, publish and check; verify a published checkpoint."""

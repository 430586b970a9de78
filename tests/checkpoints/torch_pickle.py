"""pytorch_model.bin, without torch."""

from ved.localhub.checkpoints.torch_pickle import write_torch_pickle

__all__ = ["write_torch_pickle"]

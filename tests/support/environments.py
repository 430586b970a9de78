"""Environments with other libraries than this one, and settings of processes that run models."""

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.caches import COMPILATION, user_cache

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""The environment variable for PyTorch, whose other threads take time even while they wait."""

HOSTILE_VARIABLES = {
    "EAGER_CONSTANT_FOLDING": "1",
    "FLAX_FIX_RNG_SEPARATOR": "1",
    "FLAX_RETURN_FROZENDICT": "1",
    "FORCE_TF_AVAILABLE": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DOWNLOAD_TIMEOUT": "soon",
    "HF_HUB_ENABLE_HF_TRANSFER": "1",
    "HF_HUB_ETAG_TIMEOUT": "0.001",
    "HF_HUB_OFFLINE": "1",
    "HF_XET_CLIENT_READ_TIMEOUT": "0",
    "HUGGINGFACE_CO_STAGING": "1",
    "JAX_COMPILATION_CACHE_DIR": "/dev/null/cache",
    "JAX_DEBUG_NANS": "1",
    "JAX_DEFAULT_DTYPE_BITS": "32",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_DISABLE_JIT": "1",
    "JAX_ENABLE_CUSTOM_PRNG": "1",
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_PLATFORM_NAME": "tpu",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "TRANSFORMERS_CACHE": "/dev/null/cache",
    "TRANSFORMERS_OFFLINE": "1",
    "USE_FLAX": "0",
    "USE_JAX": "0",
    "USE_TF": "1",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true --xla_cpu_use_thunk_runtime=false",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "much",
}
"""Environment variables that change the bytes of a checkpoint, or make a build fail."""

_REQUIREMENTS = Path(__file__).parents[2] / "requirements"

WITH_PYTORCH = ("transformers4", "transformers5")
"""Environments that are locked for one platform, because PyTorch's build for CPUs is large."""

_PYTORCH_PLATFORM = ("linux", "x86_64", (3, 11))


def python(name: str) -> Path:
    """Return the interpreter of the environment that requirements/NAME.txt locks.

    The first call downloads packages and creates the environment in the user's cache directory,
    where later runs find it.

    Raises:
        CalledProcessError: the environment cannot be created.
        Skipped: it is locked for another platform.
    """
    here = (sys.platform, platform.machine(), sys.version_info[:2])
    if name in WITH_PYTORCH and here != _PYTORCH_PLATFORM:
        pytest.skip("the environments with PyTorch need Python 3.11, and Linux on x86-64")
    lock = _REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    environment = user_cache("environments") / f"{name}-{digest}"
    environment.parent.mkdir(parents=True, exist_ok=True)
    interpreter = environment / "bin" / "python"
    # Environments cannot be moved into place, so a file marks the complete ones.
    complete = environment / "complete"
    with FileLock(f"{environment}.lock"):
        if not complete.exists():
            shutil.rmtree(environment, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:"]
            subprocess.run([interpreter, *install, "--requirement", lock], check=True)
            complete.touch()
    return interpreter


def quick_models() -> dict[str, str]:
    """Return environment variables with which a process spends less time on small models.

    Most of the time of a small model goes into compiling with XLA.
    """
    return {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", **ONE_THREAD, **COMPILATION}

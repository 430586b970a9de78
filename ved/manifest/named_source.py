"""Parse the name of a source as the command line has it."""

from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from ved.errors import ErrorCode, RequestError
from ved.manifest.fields import WeightFormat, is_local
from ved.manifest.pair_models import ConfigRef, SourceRef


def named_source(name: str, config: str | None, weights_from: WeightFormat | None) -> SourceRef:
    """Return a source.

    Args:
        name: a repo, maybe with a revision, or a local directory.
        config: the same for its config; None if the source has it.
        weights_from: the weight files to read; None for the only ones.

    Raises:
        RequestError: a name is wrong.
    """
    model = _config_ref(name)
    return SourceRef(
        model=model.model,
        revision=model.revision,
        config=_config_ref(config) if config else None,
        weights_from=weights_from,
    )


def _config_ref(name: str) -> ConfigRef:
    """Parse a name as in a manifest, where a local directory begins with ./, ../ or /.

    A name with an owner is a repo, whatever the working directory contains. Without an owner, it
    is a mistake if there is such a directory: transformers' script takes the directory.
    """
    if "/" not in name and not is_local(name) and Path(name).is_dir():
        _refuse_directory_without_dot(name)
    try:
        return ConfigRef.model_validate(name)
    except ValidationError as error:
        if not is_local(name) and Path(name).is_dir():
            _refuse_directory_without_dot(name)
        raise RequestError(f"{error.errors()[0]['msg']}.", code=ErrorCode.WRONG_INPUT) from error


def _refuse_directory_without_dot(name: str) -> NoReturn:
    raise RequestError(
        f"{name!r} is a directory.",
        f"Write ./{name} for the directory. A name without ./ is that of a repo.",
        code=ErrorCode.WRONG_INPUT,
    )

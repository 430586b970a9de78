"""Load pairs.yaml: to typed pairs, or to all of its problems, as file:line:column.

`loading` reads a file in these steps:

1. `yaml_reader` parses it to `yaml_nodes`, which know their places.
2. `grid` expands its grids to pairs, and `repo_names` compares the names of all pairs.
3. `file_model`, `grid_models` and `models` validate its values, with the types of `fields`.
4. `messages` converts pydantic's errors to `problems`, each with a place and a code.

`schema` generates the JSON Schema for editors from the same models.
"""

from ved.manifest.fields import (
    LANGUAGE_PATTERN,
    LICENSE_PATTERN,
    Check,
    Dtype,
    WeightFormat,
    is_repo_id,
)
from ved.manifest.loading import Manifest, ManifestError, load, loads
from ved.manifest.pair_models import ConfigRef, Pair, SourceRef, TokenIds
from ved.manifest.problems import Location, Problem
from ved.manifest.schema import json_schema, write_schema
from ved.manifest.settings import CheckpointSettings

__all__ = [
    "LANGUAGE_PATTERN",
    "LICENSE_PATTERN",
    "Check",
    "CheckpointSettings",
    "ConfigRef",
    "Dtype",
    "Location",
    "Manifest",
    "ManifestError",
    "Pair",
    "Problem",
    "SourceRef",
    "TokenIds",
    "WeightFormat",
    "is_repo_id",
    "json_schema",
    "load",
    "loads",
    "write_schema",
]

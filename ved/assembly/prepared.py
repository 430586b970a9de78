"""A source as assembly needs it besides its weights: validated data, no files to parse."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ved.assembly.processing_files import ImageProcessorFiles, TokenizerFiles


@dataclass(frozen=True)
class PreparedSource:
    """The results of the examination of a source that assembly uses.

    Attributes:
        config: the settings of its config, as JSON with all defaults.
        files: its image processor (encoder) or tokenizer (decoder).
    """

    config: Mapping[str, Any]
    files: ImageProcessorFiles | TokenizerFiles

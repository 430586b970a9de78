"""Assemble a checkpoint from two sources: parameters, special tokens and processor files.

`assemble` writes the checkpoint. `config` has its config as data, which `config_files` reads from
sources and writes. `parts` combines the sources with their models, `ledger` finds the
origin of every parameter, and `initialization` draws those that no source has. `special_tokens` and
`token_search` are about token ids, and `generation_settings` about settings that a checkpoint does
not take over. `tokenizer` and `image_processor` read the files of tokenizers and image
processors, and `processing_files` writes them. `trials` tries all of it without weights.

`assemble`, `config_files`, `parts`, `initialization`, `tokenizer`, `image_processor` and `trials`
import jax or transformers, which takes seconds, so they are not imported here.
"""

from ved.assembly.ledger import (
    Ledger,
    PartSummary,
    Reason,
    initialized_groups,
    match_parameters,
    unused_groups,
)
from ved.assembly.special_tokens import TokenId, TokenIds, TokenRole

__all__ = [
    "Ledger",
    "PartSummary",
    "Reason",
    "TokenId",
    "TokenIds",
    "TokenRole",
    "initialized_groups",
    "match_parameters",
    "unused_groups",
]

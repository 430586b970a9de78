"""The settings of the families that have a twin; see `ved.families.settings`, which has the others.

Those of the twin are known, too, if the class of the source has the same names.
"""

from types import MappingProxyType

from ved.families.setting import ACTIVATION, RATE, REMOVED, SIZE, only
from ved.families.settings import BERT, VIT, Settings

# The class of DistilBERT ignores these names.
_NOT_OF_DISTILBERT = (
    *("attention_probs_dropout_prob", "classifier_dropout", "hidden_act", "hidden_dropout_prob"),
    *("intermediate_size", "layer_norm_eps", "position_embedding_type", "type_vocab_size"),
)
_NO_TASK_TYPES = "BERT has no embeddings of tasks"
_ONLY_GELU = "the language-model head of ELECTRA has this activation, and BERT has one for both"

VIT_MAE: Settings = MappingProxyType(
    {
        **VIT,
        **dict.fromkeys(
            (
                *("decoder_hidden_size", "decoder_intermediate_size"),
                *("decoder_num_attention_heads", "decoder_num_hidden_layers"),
                *("mask_ratio", "norm_pix_loss"),
            ),
            REMOVED,
        ),
    }
)

ELECTRA: Settings = MappingProxyType(
    {
        **BERT,
        "hidden_act": only("gelu", _ONLY_GELU),
        **dict.fromkeys(
            (
                *("embedding_size", "summary_activation", "summary_last_dropout"),
                *("summary_type", "summary_use_proj"),
            ),
            REMOVED,
        ),
    }
)

ERNIE: Settings = MappingProxyType(
    {
        **BERT,
        "use_task_id": only(False, _NO_TASK_TYPES, published=False),
        "task_type_vocab_size": REMOVED,
    }
)

DISTILBERT: Settings = MappingProxyType(
    {
        **{name: setting for name, setting in BERT.items() if name not in _NOT_OF_DISTILBERT},
        **dict.fromkeys(("dim", "hidden_dim", "n_heads", "n_layers"), SIZE),
        **dict.fromkeys(("attention_dropout", "dropout"), RATE),
        "activation": ACTIVATION,
        # The stored positions are used, whether they were learned or computed.
        "sinusoidal_pos_embds": REMOVED,
        **dict.fromkeys(("qa_dropout", "seq_classif_dropout", "tie_weights_"), REMOVED),
    }
)

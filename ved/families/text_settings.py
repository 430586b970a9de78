"""The settings of the families in `ved.families.text`; see `ved.families.settings`."""

from types import MappingProxyType

from ved.families.setting import FIRST_POSITION, FLAG, HARMLESS, RATE, SIZE, only
from ved.families.settings import BART, BERT, NO_CODE, Settings

_SINUSOIDS_ARE_LOST = "transformers 5 loses the sinusoids of this class when it loads a checkpoint"
_RELICS = (
    *("add_bias_logits", "add_final_layer_norm", "classif_dropout", "do_blenderbot_90_layernorm"),
    *("extra_pos_embeddings", "force_bos_token_to_be_generated", "normalize_before"),
    *("normalize_embedding", "save_step", "static_position_embeddings"),
)
_ENCODER = ("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "encoder_layerdrop")
_DECODER = ("decoder_layers", "decoder_attention_heads", "decoder_ffn_dim", "decoder_layerdrop")
_NORM_FIRST = dict.fromkeys(("normalize_before", "add_final_layer_norm"), only(True, NO_CODE))

MBART: Settings = MappingProxyType({**BART, **_NORM_FIRST})

PEGASUS: Settings = MappingProxyType(
    {
        **BART,
        **_NORM_FIRST,
        "static_position_embeddings": only(True, NO_CODE),
        "normalize_embedding": only(False, NO_CODE),
        "extra_pos_embeddings": HARMLESS,  # of a table that is no longer there
    }
)

TROCR: Settings = MappingProxyType(
    {
        **{name: setting for name, setting in BART.items() if name not in (*_RELICS, *_ENCODER)},
        "layernorm_embedding": FLAG,
        "use_learned_position_embeddings": only(True, _SINUSOIDS_ARE_LOST),
    }
)

XGLM: Settings = MappingProxyType(
    {
        **{
            name: setting
            for name, setting in BART.items()
            if name not in (*_RELICS, *_ENCODER, *_DECODER)
        },
        **dict.fromkeys(("num_layers", "attention_heads", "ffn_dim"), SIZE),
        "layerdrop": RATE,
        "pad_token_id": FIRST_POSITION,
    }
)

ELECTRA: Settings = MappingProxyType(
    {
        **BERT,
        "embedding_size": SIZE,
        **dict.fromkeys(("summary_type", "summary_use_proj", "summary_activation"), HARMLESS),
        "summary_last_dropout": HARMLESS,
    }
)

BERT_GENERATION: Settings = MappingProxyType({**BERT, "type_vocab_size": HARMLESS})

"""Source checkpoints for tests: variants of the samples of the local Hub.

Each function writes a tiny checkpoint of one model family into a directory, and returns the
directory. `EncoderOptions` and `DecoderOptions` list the keyword arguments.
"""

from tests.checkpoints.families import (
    bart,
    beit,
    bert,
    config_only,
    dinov2,
    gpt2,
    roberta,
    roberta_prelayernorm,
    vit,
    xlm_roberta,
)
from tests.checkpoints.options import DecoderOptions, EncoderOptions, Options
from tests.checkpoints.text_families import (
    bert_generation,
    electra_small,
    mbart,
    pegasus,
    trocr,
    xglm,
)
from tests.checkpoints.twins import (
    camembert,
    chinese_clip_vision,
    data2vec_text,
    data2vec_vision,
    distilbert,
    electra,
    ernie,
    vit_mae,
    vit_msn,
)
from tests.checkpoints.vision import (
    clip_vision,
    deit,
    dinov2_with_registers,
    dinov3,
    ijepa,
    siglip_vision,
)
from tests.checkpoints.wholes import whole
from tests.checkpoints.windows import donut_swin, swin, swinv2
from ved.families import table

ENCODERS = {
    "vit": vit,
    "beit": beit,
    "dinov2": dinov2,
    "clip_vision_model": clip_vision,
    "siglip_vision_model": siglip_vision,
    "swin": swin,
    "swinv2": swinv2,
    "donut-swin": donut_swin,
    "deit": deit,
    "dinov2_with_registers": dinov2_with_registers,
    "dinov3_vit": dinov3,
    "ijepa": ijepa,
}
DECODERS = {
    "gpt2": gpt2,
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": xlm_roberta,
    "roberta-prelayernorm": roberta_prelayernorm,
    "bart": bart,
    "mbart": mbart,
    "trocr": trocr,
    "electra": electra_small,
    "pegasus": pegasus,
    "xglm": xglm,
    "bert-generation": bert_generation,
}
"""By the model_type in config.json."""

WITH_FLAX_CLASS = tuple(
    name
    for families, known in ((ENCODERS, table.ENCODERS), (DECODERS, table.DECODERS))
    for name in families
    if known[name].has_flax_class
)
"""The families that can be compared with the Flax classes of transformers 4.57."""

TWIN_ENCODERS = {
    "vit_mae": vit_mae,
    "vit_msn": vit_msn,
    "chinese_clip_vision_model": chinese_clip_vision,
    "data2vec-vision": data2vec_vision,
}
TWIN_DECODERS = {
    "camembert": camembert,
    "data2vec-text": data2vec_text,
    "distilbert": distilbert,
    "electra": electra,
    "ernie": ernie,
}
"""The families that are published as another one, by the model_type in config.json."""

__all__ = [
    "DECODERS",
    "ENCODERS",
    "TWIN_DECODERS",
    "TWIN_ENCODERS",
    "WITH_FLAX_CLASS",
    "DecoderOptions",
    "EncoderOptions",
    "Options",
    "bart",
    "beit",
    "bert",
    "bert_generation",
    "camembert",
    "chinese_clip_vision",
    "clip_vision",
    "config_only",
    "data2vec_text",
    "data2vec_vision",
    "deit",
    "dinov2",
    "dinov2_with_registers",
    "dinov3",
    "distilbert",
    "donut_swin",
    "electra",
    "electra_small",
    "ernie",
    "gpt2",
    "ijepa",
    "mbart",
    "pegasus",
    "roberta",
    "roberta_prelayernorm",
    "siglip_vision",
    "swin",
    "swinv2",
    "trocr",
    "vit",
    "vit_mae",
    "vit_msn",
    "whole",
    "xglm",
    "xlm_roberta",
]

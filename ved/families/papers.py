"""The papers of the families, which the model card cites."""

from collections.abc import Mapping
from types import MappingProxyType

_ARXIV = "https://arxiv.org/abs/"

WARM_STARTING = f"{_ARXIV}1907.12461"
"""Rothe, Narayan and Severyn on decoders from pretrained checkpoints with new cross-attention."""

PAPERS: Mapping[str, str] = MappingProxyType(
    {
        "gpt2": "https://cdn.openai.com/better-language-models/"
        "language_models_are_unsupervised_multitask_learners.pdf",
        **{
            name: f"{_ARXIV}{number}"
            for name, number in {
                "bart": "1910.13461",
                "beit": "2106.08254",
                "bert": "1810.04805",
                "bert-generation": "1907.12461",
                "camembert": "1911.03894",
                "chinese_clip_vision_model": "2211.01335",
                "clip_vision_model": "2103.00020",
                "data2vec-text": "2202.03555",
                "data2vec-vision": "2202.03555",
                "deit": "2012.12877",
                "dinov2": "2304.07193",
                "dinov2_with_registers": "2309.16588",
                "dinov3_vit": "2508.10104",
                "distilbert": "1910.01108",
                "donut-swin": "2111.15664",
                "electra": "2003.10555",
                "ernie": "1904.09223",
                "gpt-sw3": "2305.12987",
                "ijepa": "2301.08243",
                "mbart": "2001.08210",
                "pegasus": "1912.08777",
                "roberta": "1907.11692",
                "roberta-prelayernorm": "1904.01038",
                "siglip_vision_model": "2303.15343",
                "swin": "2103.14030",
                "swinv2": "2111.09883",
                "trocr": "2109.10282",
                "vit": "2010.11929",
                "vit_mae": "2111.06377",
                "vit_msn": "2204.07141",
                "xglm": "2112.10668",
                "xlm-roberta": "1911.02116",
            }.items()
        },
    }
)
"""The address of the paper of each family, by the `model_type` of a source. Source: the family's
page in the documentation of transformers. For GPT-SW3, that page has an older paper, on its first
model: this one describes all published models."""

"""The families that VED refuses by name, each with the reason and a model to use instead.

Others are refused because VED has no model for them.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ved.families.family import Role

_VIT = "google/vit-base-patch16-224-in21k"
_GPT2 = "openai-community/gpt2"
_BERT = "google-bert/bert-base-uncased"
_BART = "facebook/bart-base"
_MBART = "facebook/mbart-large-50"
_CLIP = "openai/clip-vit-base-patch32"


class Refusal(NamedTuple):
    """Why a family is refused.

    Attributes:
        reason: the end of a sentence.
        use: the id of a model that is similar in use.
    """

    reason: str
    use: str


NO_CROSS_ATTENTION = "it has no cross-attention, in PyTorch either"
"""The reason of decoders that cannot attend to an image, whatever the library."""

SOUND = "it reads sound, not images"

DENSE = "it finds segments or distances in images, and VED has no model for it"

FEATURE_MAP = "its output is a feature map, not a sequence of one width that a decoder attends to"

UNKNOWN: Mapping[Role, Refusal] = {
    "encoder": Refusal("VED has no model for it", _VIT),
    "decoder": Refusal("VED has no model for it", _GPT2),
}
"""Why a family is refused that no table lists."""


def _each(names: Iterable[str], reason: str, use: str) -> dict[str, Refusal]:
    return dict.fromkeys(names, Refusal(reason, use))


REFUSED_ENCODERS: Mapping[str, Refusal] = MappingProxyType(
    {
        **_each(
            (
                *("bit", "convnext", "convnextv2", "cvt", "efficientnet", "hgnet_v2"),
                *("mobilenet_v1", "mobilenet_v2", "mobilevit", "mobilevitv2", "poolformer"),
                *("pvt", "pvt_v2", "regnet", "resnet", "segformer", "swiftformer", "textnet"),
                "van",
            ),
            FEATURE_MAP,
            _VIT,
        ),
        **_each(
            ("timesformer", "videomae", "vivit", "vjepa2"), "it reads videos, not images", _VIT
        ),
        **_each(
            (
                *("conditional_detr", "d_fine", "dab-detr", "deformable_detr", "deta", "detr"),
                *("rt_detr", "rt_detr_v2", "table-transformer", "yolos"),
            ),
            "it detects objects, and its output has one vector for each of them",
            _VIT,
        ),
        **_each(
            (
                *("depth_anything", "dpt", "glpn", "mask2former", "maskformer", "oneformer"),
                *("sam", "sam2", "sam3", "sam_hq", "upernet", "zoedepth"),
            ),
            DENSE,
            _VIT,
        ),
        **_each(
            (
                *("audio-spectrogram-transformer", "clap", "hubert", "moonshine", "sew"),
                *("speech_to_text", "speecht5", "unispeech", "wav2vec2", "wavlm", "whisper"),
            ),
            SOUND,
            _VIT,
        ),
        **_each(("timm_wrapper",), "its model is one of timm, not of transformers", _VIT),
        **_each(
            (
                *("align", "altclip", "blip", "clipseg", "flava", "groupvit"),
                *("metaclip_2", "owlv2", "owlvit", "siglip2", "xclip"),
            ),
            "it is a whole model of images and texts, whose half of images VED has no model for",
            _CLIP,
        ),
        **_each(
            (
                *("blip-2", "florence2", "fuyu", "git", "idefics", "idefics2", "idefics3"),
                *("instructblip", "kosmos-2", "llava", "llava_next", "mllama", "paligemma"),
                *("pix2struct", "qwen2_vl", "qwen2_5_vl", "smolvlm"),
            ),
            "it is a whole model, which writes about images on its own",
            _CLIP,
        ),
        **_each(
            (
                *("albert", "deberta", "deberta-v2", "longformer", "mt5", "opt", "t5"),
                *("bloom", "gemma", "gptj", "gpt_neox", "llama", "m2m_100", "mistral", "qwen2"),
            ),
            "it reads text, not images",
            _VIT,
        ),
    }
)

REFUSED_DECODERS: Mapping[str, Refusal] = MappingProxyType(
    {
        **_each(
            (
                *("biogpt", "bloom", "codegen", "cohere", "ctrl", "deepseek_v2", "deepseek_v3"),
                *("falcon", "gemma", "gemma2", "gemma3_text", "git", "glm", "glm4", "gpt_neo"),
                *("gpt_neox", "gpt_oss", "gptj", "granite", "llama", "mamba", "mamba2"),
                *("mistral", "mixtral", "modernbert-decoder", "mpt", "nemotron", "olmo", "olmo2"),
                *("openai-gpt", "opt", "persimmon", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3"),
                *("qwen3_moe", "reformer", "rwkv", "smollm3", "stablelm", "starcoder2"),
                *("transfo-xl", "xlnet"),
            ),
            NO_CROSS_ATTENTION,
            _GPT2,
        ),
        **_each(
            ("led", "longt5", "m2m_100", "mt5", "nllb-moe", "switch_transformers", "t5", "umt5"),
            "transformers has no class of its decoder alone",
            _BART,
        ),
        **_each(
            (
                *("albert", "convbert", "deberta", "deberta-v2", "fnet", "funnel", "ibert"),
                *("layoutlm", "longformer", "luke", "mobilebert", "modernbert", "mpnet"),
                *("nystromformer", "squeezebert"),
            ),
            "transformers has no class of it that writes text",
            _BERT,
        ),
        **_each(("clip", "siglip"), "it compares texts with images, and writes none", _GPT2),
        **_each(("marian",), "its tokenizer divides texts of the language that it reads", _MBART),
    }
)

REFUSED_BY_ROLE: Mapping[Role, Mapping[str, Refusal]] = {
    "encoder": REFUSED_ENCODERS,
    "decoder": REFUSED_DECODERS,
}

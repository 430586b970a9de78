"""The families of encoders and decoders: the settings and the module of each `model_type`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ved.modeling.bart import BartModule
from ved.modeling.bart_settings import BartSettings
from ved.modeling.beit import BeitModule, BeitSettings
from ved.modeling.bert import BertModule
from ved.modeling.bert_generation import BertGenerationModule, BertGenerationSettings
from ved.modeling.bert_settings import BertSettings
from ved.modeling.clip import CLIPVisionModule, CLIPVisionSettings
from ved.modeling.decoder import DecoderSettings
from ved.modeling.deit import DeiTModule, DeiTSettings
from ved.modeling.dinov2 import Dinov2Module, Dinov2Settings
from ved.modeling.dinov2_with_registers import (
    Dinov2WithRegistersModule,
    Dinov2WithRegistersSettings,
)
from ved.modeling.dinov3 import DINOv3Module, DINOv3Settings
from ved.modeling.electra import ElectraModule, ElectraSettings
from ved.modeling.errors import ModelingError
from ved.modeling.gpt2 import GPT2Module, GPT2Settings
from ved.modeling.ijepa import IJepaModule, IJepaSettings
from ved.modeling.image_settings import ImageSettings
from ved.modeling.linen import Module
from ved.modeling.mbart import MBartSettings
from ved.modeling.pegasus import PegasusSettings
from ved.modeling.roberta import (
    RobertaModule,
    RobertaPreLayerNormModule,
    RobertaPreLayerNormSettings,
    RobertaSettings,
    XLMRobertaSettings,
)
from ved.modeling.settings import Settings
from ved.modeling.siglip import SiglipVisionModule, SiglipVisionSettings
from ved.modeling.swin import DonutSwinSettings, SwinModule, SwinSettings
from ved.modeling.swinv2 import Swinv2Module, Swinv2Settings
from ved.modeling.trocr import TrOCRSettings
from ved.modeling.vit import ViTModule, ViTSettings
from ved.modeling.xglm import XGLMModule, XGLMSettings


class EncoderFamily(NamedTuple):
    """The classes of a family of encoders."""

    settings: type[ImageSettings]
    module: type[Module]


class DecoderFamily(NamedTuple):
    """The classes of a family of decoders."""

    settings: type[DecoderSettings]
    module: type[Module]


ENCODERS: Mapping[str, EncoderFamily] = MappingProxyType(
    {
        "vit": EncoderFamily(ViTSettings, ViTModule),
        "beit": EncoderFamily(BeitSettings, BeitModule),
        "dinov2": EncoderFamily(Dinov2Settings, Dinov2Module),
        "clip_vision_model": EncoderFamily(CLIPVisionSettings, CLIPVisionModule),
        "deit": EncoderFamily(DeiTSettings, DeiTModule),
        "dinov2_with_registers": EncoderFamily(
            Dinov2WithRegistersSettings, Dinov2WithRegistersModule
        ),
        "dinov3_vit": EncoderFamily(DINOv3Settings, DINOv3Module),
        "ijepa": EncoderFamily(IJepaSettings, IJepaModule),
        "siglip_vision_model": EncoderFamily(SiglipVisionSettings, SiglipVisionModule),
        "swin": EncoderFamily(SwinSettings, SwinModule),
        "swinv2": EncoderFamily(Swinv2Settings, Swinv2Module),
        "donut-swin": EncoderFamily(DonutSwinSettings, SwinModule),
    }
)

DECODERS: Mapping[str, DecoderFamily] = MappingProxyType(
    {
        "gpt2": DecoderFamily(GPT2Settings, GPT2Module),
        "gpt-sw3": DecoderFamily(GPT2Settings, GPT2Module),
        "bart": DecoderFamily(BartSettings, BartModule),
        "bert": DecoderFamily(BertSettings, BertModule),
        "roberta": DecoderFamily(RobertaSettings, RobertaModule),
        "xlm-roberta": DecoderFamily(XLMRobertaSettings, RobertaModule),
        "roberta-prelayernorm": DecoderFamily(
            RobertaPreLayerNormSettings, RobertaPreLayerNormModule
        ),
        "mbart": DecoderFamily(MBartSettings, BartModule),
        "trocr": DecoderFamily(TrOCRSettings, BartModule),
        "pegasus": DecoderFamily(PegasusSettings, BartModule),
        "xglm": DecoderFamily(XGLMSettings, XGLMModule),
        "electra": DecoderFamily(ElectraSettings, ElectraModule),
        "bert-generation": DecoderFamily(BertGenerationSettings, BertGenerationModule),
    }
)


def encoder_settings(config: Mapping[str, Any]) -> ImageSettings:
    """Return the settings of an encoder's config.

    Raises:
        ModelingError: the family is unknown, or the config has something that is not computed.
    """
    return _find(ENCODERS, config, "encoder").settings.from_config(config)


def decoder_settings(config: Mapping[str, Any]) -> DecoderSettings:
    """Return the settings of a decoder's config; see `encoder_settings`."""
    return _find(DECODERS, config, "decoder").settings.from_config(config)


def module_of(settings: Settings) -> type[Module]:
    """Return the class of the module that computes what the settings describe."""
    families: tuple[EncoderFamily | DecoderFamily, ...] = (*ENCODERS.values(), *DECODERS.values())
    return next(family.module for family in families if family.settings is type(settings))


def _find(families: Mapping[str, Any], config: Mapping[str, Any], role: str) -> Any:
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in families:
        raise ModelingError(
            f"The {role} has the model_type {model_type!r}, which is not one of "
            f"{', '.join(families)}. Use another {role}."
        )
    return families[model_type]

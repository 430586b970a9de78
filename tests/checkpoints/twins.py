"""One function for each family that has a twin, which writes a checkpoint of it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.checkpoints.families import sentencepiece_model
from tests.checkpoints.formats import CONFIGS, TOKENIZERS
from tests.checkpoints.options import DecoderOptions, EncoderOptions, takes
from tests.checkpoints.variants import write_decoder, write_encoder
from tests.checkpoints.vision import clip_vision
from ved.families.twins import TWIN_DECODERS
from ved.localhub import samples
from ved.localhub.samples import SampleCheckpoint
from ved.localhub.samples.decoders import build_roberta
from ved.localhub.samples.vocabularies import SampleTokenizer, roberta_tokenizer
from ved.localhub.samples.weights import RandomTensors, Tensors, under


@takes(EncoderOptions)
def vit_mae(directory: Path, options: EncoderOptions) -> None:
    """Write a ViT-MAE like facebook/vit-mae-base: with the decoder of its pretraining."""
    sample = samples.vit(options.of_sample)
    config = _config(
        CONFIGS["ViTMAE"], sample, decoder_hidden_size=16, decoder_num_attention_heads=2
    )
    random = RandomTensors(options.seed + 1)
    pretraining = {
        "mask_token": random.small(1, 1, 16),
        **random.linear("decoder_embed", config.hidden_size, 16),
        **random.norm("decoder_norm", 16),
    }
    sample = replace(
        sample,
        config=config,
        base=_without(sample.base, "pooler."),
        heads=under("decoder", pretraining),
        base_architecture="ViTMAEModel",
        head_architecture="ViTMAEForPreTraining",
        has_heads=True,
    )
    write_encoder(directory, sample, options)


@takes(EncoderOptions)
def vit_msn(directory: Path, options: EncoderOptions) -> None:
    """Write a ViT-MSN like facebook/vit-msn-base: without a pooler."""
    sample = samples.vit(options.of_sample)
    sample = replace(
        sample,
        config=_config(CONFIGS["ViTMSN"], sample, layer_norm_eps=1e-6),
        base=_without(sample.base, "pooler."),
        base_architecture="ViTMSNModel",
        head_architecture="ViTMSNForImageClassification",
    )
    write_encoder(directory, sample, options)


@takes(EncoderOptions)
def data2vec_vision(directory: Path, options: EncoderOptions) -> None:
    """Write a data2vec like facebook/data2vec-vision-base-ft1k, with a classifier."""
    sample = samples.beit(options.of_sample)
    sample = replace(
        sample,
        config=_config(CONFIGS["Data2VecVision"], sample),
        base_architecture="Data2VecVisionModel",
        head_architecture="Data2VecVisionForImageClassification",
        prefix="data2vec_vision",
    )
    write_encoder(directory, sample, options)


def chinese_clip_vision(directory: Path, **options: Any) -> Path:
    """Write the vision half of a model like OFA-Sys/chinese-clip-vit-base-patch16."""
    clip_vision(directory, **options)
    processor = json.loads((directory / "preprocessor_config.json").read_text())
    own = {
        "config.json": {
            "model_type": "chinese_clip_vision_model",
            "architectures": ["ChineseCLIPVisionModel"],
        },
        "preprocessor_config.json": {
            "image_processor_type": "ChineseCLIPImageProcessor",
            "size": processor["crop_size"],
        },
    }
    for name, settings in own.items():
        content = json.loads((directory / name).read_text())
        (directory / name).write_text(json.dumps(content | settings))
    return directory


@takes(DecoderOptions)
def camembert(directory: Path, options: DecoderOptions) -> None:
    """Write a CamemBERT like almanach/camembert-base: RoBERTa's names."""
    tokenizer = SampleTokenizer(
        TOKENIZERS["CamembertTokenizer"], {"sentencepiece.bpe.model": sentencepiece_model()}
    )
    sample = build_roberta(options.of_sample, CONFIGS["Camembert"], tokenizer)
    # The vocabulary of fairseq comes first, whose own tokens are not used.
    sample.config.settings |= {"bos_token_id": 5, "eos_token_id": 6}
    write_decoder(directory, replace(sample, language="fr"), options)


@takes(DecoderOptions)
def data2vec_text(directory: Path, options: DecoderOptions) -> None:
    """Write a data2vec of text like facebook/data2vec-text-base, with its head."""
    sample = build_roberta(options.of_sample, CONFIGS["Data2VecText"], roberta_tokenizer())
    write_decoder(directory, replace(sample, prefix="data2vec_text"), options)


@takes(DecoderOptions)
def ernie(directory: Path, options: DecoderOptions) -> None:
    """Write an ERNIE like nghuyong/ernie-2.0-base-en: BERT's names."""
    sample = samples.bert(options.of_sample)
    sample = replace(
        sample,
        config=_config(CONFIGS["Ernie"], sample),
        base_architecture="ErnieModel",
        head_architecture="ErnieForMaskedLM",
        prefix="ernie",
    )
    write_decoder(directory, sample, options)


@takes(DecoderOptions)
def electra(directory: Path, options: DecoderOptions) -> None:
    """Write an ELECTRA with the names of google/electra-base-discriminator, and a generator's head.

    Its embeddings are as wide as its layers, as in all discriminators of base and large size.
    """
    sample = samples.bert(options.of_sample)
    bert = _in_words_of("electra", _modern(sample.heads))
    random, width = RandomTensors(options.seed + 1), sample.config.hidden_size
    sample = replace(
        sample,
        config=_config(CONFIGS["Electra"], sample, embedding_size=width),
        base=_without(_modern(sample.base), "pooler."),
        heads=_without(bert, "cls.")
        | random.linear("discriminator_predictions.dense", width, width)
        | random.linear("discriminator_predictions.dense_prediction", width, 1),
        base_architecture="ElectraModel",
        head_architecture="ElectraForMaskedLM",
        prefix="electra",
        tokenizer=_of_class(sample, "ElectraTokenizer"),
    )
    write_decoder(directory, sample, options)


@takes(DecoderOptions)
def distilbert(directory: Path, options: DecoderOptions) -> None:
    """Write a DistilBERT like distilbert/distilbert-base-uncased, with its head."""
    sample = samples.bert(options.of_sample)
    bert = sample.config
    config = CONFIGS["DistilBert"](
        vocab_size=bert.vocab_size,
        max_position_embeddings=bert.max_position_embeddings,
        dim=bert.hidden_size,
        hidden_dim=bert.intermediate_size,
        n_heads=bert.num_attention_heads,
        n_layers=bert.num_hidden_layers,
        dtype=bert.dtype,
        initializer_range=bert.initializer_range,
    )
    base = _without(
        _modern(sample.base), "pooler.", "embeddings.token_type", "embeddings.position_ids"
    )
    heads = _without(_in_words_of("distilbert", _modern(sample.heads)), "cls.")
    sample = replace(
        sample,
        config=config,
        base=_in_words_of("distilbert", base),
        heads=heads,
        base_architecture="DistilBertModel",
        head_architecture="DistilBertForMaskedLM",
        prefix="distilbert",
        tokenizer=_of_class(sample, "DistilBertTokenizer"),
    )
    write_decoder(directory, sample, options)


def _config(config_class: Any, sample: SampleCheckpoint, **others: Any) -> Any:
    """Return a config of another class with the settings of a sample."""
    settings: Mapping[str, Any] = sample.config.written()
    kept = {name: value for name, value in settings.items() if name != "model_type"}
    return config_class(**{"dtype": sample.config.dtype, **kept, **others})


def _without(tensors: Tensors, *starts: str) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(starts)}


def _modern(tensors: Tensors) -> Tensors:
    """Return tensors of BERT with the names of PyTorch for layer norms."""
    return {
        name.replace(".gamma", ".weight").replace(".beta", ".bias"): tensor
        for name, tensor in tensors.items()
    }


def _in_words_of(family: str, tensors: Tensors) -> Tensors:
    """Return tensors of BERT with the names of a family that has BERT as its twin."""
    twin = TWIN_DECODERS[family].twin
    assert twin is not None
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        dotted = f".{name}"
        for part, other in twin.tensor_names.items():
            dotted = dotted.replace(other, part)
        renamed[dotted[1:]] = tensor
    return renamed


def _of_class(sample: SampleCheckpoint, name: str) -> SampleTokenizer:
    assert sample.tokenizer is not None
    return sample.tokenizer.of_class(name)

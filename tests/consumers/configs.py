"""Write configs with the configuration classes of transformers, as checkpoints have them.

Usage: python configs.py REQUEST ANSWER. REQUEST is a JSON file with `configs`, a list of the role
and the settings of each, and `neutral`, settings that each gets. ANSWER is an .npz file with an
array `texts`, which is JSON: for each config, the config as JSON with all defaults, and config.json
of a checkpoint with it. Both are empty if a class cannot read it.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from transformers import CONFIG_MAPPING, GPT2Config, VisionEncoderDecoderConfig, ViTConfig


def full(settings: dict, neutral: dict) -> str:
    """Return a config with all defaults, as JSON."""
    config = CONFIG_MAPPING[settings["model_type"]].from_dict(dict(settings))
    for name, value in neutral.items():
        setattr(config, name, value)
    return config.to_json_string(use_diff=False)


def published(role: str, settings: dict) -> str:
    """Return config.json of a checkpoint with a config; the other half is a placeholder."""
    config_class = CONFIG_MAPPING[settings["model_type"]]
    own = {name: value for name, value in settings.items() if name != "model_type"}
    halves = {"encoder": ViTConfig(), "decoder": GPT2Config(), role: config_class(**own)}
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        halves["encoder"], halves["decoder"]
    )
    config.architectures = ["VisionEncoderDecoderModel"]
    decoder = config.decoder
    decoder.is_encoder_decoder = False
    layers = getattr(decoder, "decoder_layers", 0)
    if getattr(decoder, "encoder_layers", layers) < layers:
        decoder.encoder_layers = decoder.num_hidden_layers = layers
    projected = config.encoder.hidden_size != decoder.hidden_size
    if projected and not hasattr(decoder, "initializer_range"):
        decoder.initializer_range = decoder.init_std
    with tempfile.TemporaryDirectory() as directory:
        config.save_pretrained(directory)
        return (Path(directory) / "config.json").read_text()


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    texts = []
    for role, settings in request["configs"]:
        try:
            text = full(settings, request["neutral"])
            written = published(role, json.loads(text))
        except Exception as error:  # a class raises anything
            print(settings["model_type"], repr(error), file=sys.stderr)
            text = written = ""
        texts.append((text, written))
    np.savez(sys.argv[2], texts=np.frombuffer(json.dumps(texts).encode(), np.uint8))


if __name__ == "__main__":
    main()

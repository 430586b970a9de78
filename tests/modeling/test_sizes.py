"""Encoders compute what PyTorch computes for images that do not have the config's size."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.modeling.test_settings import module_output, stored_params
from tests.support.environments import run_consumer
from ved.modeling.initial_parameters import encoder_params

pytestmark = pytest.mark.slow

CONSUMER = Path(__file__).parents[1] / "consumers" / "sizes.py"
SHARED = {"use_shared_relative_position_bias": True}
SIZES: dict[str, Any] = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"image_size": 32, "patch_size": 8},
}
ABSOLUTE = {"use_absolute_position_embeddings": True, "use_relative_position_bias": True}
# The config, the size of the image, and arguments of PyTorch, whose ViT must be asked
ENCODERS: dict[str, tuple[dict[str, Any], tuple[int, int], dict[str, Any]]] = {
    "vit": ({"model_type": "vit"}, (24, 40), {"interpolate_pos_encoding": True}),
    "vit-wide": ({"model_type": "vit", "image_size": [16, 48]}, (16, 48), {}),
    "beit": ({"model_type": "beit", **ABSOLUTE}, (24, 40), {}),
    "beit-shared": (
        {"model_type": "beit", "use_shared_relative_position_bias": True},
        (40, 24),
        {},
    ),
    "dinov2": ({"model_type": "dinov2"}, (24, 40), {}),
    **{
        name: ({"model_type": name}, (24, 40), {"interpolate_pos_encoding": True})
        for name in ("clip_vision_model", "siglip_vision_model")
    },
}


def test_encoders_give_the_states_of_pytorch_for_images_of_other_sizes(tmp_path: Path) -> None:
    configs = {name: {**SIZES, **config} for name, (config, _, _) in ENCODERS.items()}
    asked = {
        name: {
            "config": configs[name],
            "directory": str(tmp_path / name),
            "size": size,
            "arguments": arguments,
        }
        for name, (_, size, arguments) in ENCODERS.items()
    }
    arrays = run_consumer("transformers5", CONSUMER, {"encoders": asked}, tmp_path)
    for name, config in configs.items():
        shapes = jax.eval_shape(lambda config=config: encoder_params(config, 0))
        params = stored_params(tmp_path / name, shapes)
        output = module_output("encoder", config, params, arrays[f"{name} pixels"], arrays["vit"])
        assert np.abs(output - arrays[name]).max() < 1e-4, name

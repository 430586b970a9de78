"""Encoders compute what PyTorch computes for images that do not have the config's size."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from numpy.typing import NDArray

from tests.modeling.test_settings import module_output, stored_params
from tests.support.building import model_shapes
from tests.support.consumers import run_consumer
from ved.modeling import names
from ved.modeling.families import encoder_settings, module_of

pytestmark = pytest.mark.slow

Arrays = dict[str, NDArray[Any]]

CONSUMER = Path(__file__).parents[1] / "consumers" / "sizes.py"
SHARED = {"use_shared_relative_position_bias": True}
SIZES: dict[str, Any] = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"image_size": 32, "patch_size": 8},
}
WINDOWS: dict[str, Any] = {
    **{"embed_dim": 8, "depths": [3, 2], "num_heads": [1, 2], "window_size": 4},
    **{"patch_size": 4, "image_size": 32},
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
        for name in ("clip_vision_model", "siglip_vision_model", "deit", "ijepa")
    },
    # Patches, windows and groups of four that are not complete
    "swin": ({"model_type": "swin", **WINDOWS}, (37, 54), {}),
    "donut": ({"model_type": "donut-swin", **WINDOWS, "image_size": [64, 48]}, (61, 48), {}),
    "swinv2": ({"model_type": "swinv2", **WINDOWS}, (37, 54), {}),
    "swinv2-small": ({"model_type": "swinv2", **WINDOWS, "image_size": [24, 64]}, (13, 9), {}),
    "swinv2-larger-window": (
        {
            **{"model_type": "swinv2", **WINDOWS, "image_size": [64, 24], "window_size": 7},
            "pretrained_window_sizes": [5, 0],
        },
        (50, 61),
        {},
    ),
    "dinov2_with_registers": ({"model_type": "dinov2_with_registers"}, (24, 40), {}),
    "dinov3_vit": ({"model_type": "dinov3_vit", "num_register_tokens": 2}, (24, 40), {}),
}
# Zeros that fill windows have a length of zero, whose gradient is not infinite.
WITH_GRADIENTS = ("swinv2",)


def test_encoders_give_the_states_of_pytorch_for_images_of_other_sizes(tmp_path: Path) -> None:
    configs = {
        name: config if "depths" in config else {**SIZES, **config}
        for name, (config, _, _) in ENCODERS.items()
    }
    asked = {
        name: {
            "config": configs[name],
            "directory": str(tmp_path / name),
            "size": size,
            "arguments": arguments,
            "gradients": name in WITH_GRADIENTS,
        }
        for name, (_, size, arguments) in ENCODERS.items()
    }
    arrays = run_consumer("transformers5", CONSUMER, {"encoders": asked}, tmp_path)
    for name, config in configs.items():
        params = stored_params(tmp_path / name, model_shapes("encoder", config))
        output = module_output("encoder", config, params, arrays[f"{name} pixels"], arrays["vit"])
        assert np.abs(output - arrays[name]).max() < 1e-4, name
        if name in WITH_GRADIENTS:
            check_gradients(config, params, arrays, name)


def check_gradients(config: Any, params: Any, arrays: Arrays, name: str) -> None:
    """Compare the gradients of all parameters with those of PyTorch, up to a thousandth."""
    settings = encoder_settings(config)
    module = module_of(settings)(settings)
    pixels = arrays[f"{name} pixels"]

    @jax.jit
    def gradients(params: Any) -> Any:
        def loss(params: Any) -> jax.Array:
            return jnp.mean(module.apply({"params": params}, pixels).last_hidden_state ** 2)

        return jax.grad(loss)(params)

    start = f"{name} gradient "
    expected = {key.removeprefix(start): arrays[key] for key in arrays if key.startswith(start)}
    found = flatten_dict(gradients(params))
    assert len(found) == len(expected)
    paths, unexpected = names.find(found, expected)
    assert paths.keys() == found.keys()
    assert not unexpected
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for path, stored in paths.items():
        axes = names.transposition(stored, path, found[path].ndim)
        gradient = expected[stored].transpose(axes) if axes else expected[stored]
        # Gradients of the biases of keys are zero, but for rounding.
        tolerance = 1e-3 * np.abs(gradient).max() + 1e-6 * largest
        np.testing.assert_allclose(found[path], gradient, rtol=0, atol=tolerance)

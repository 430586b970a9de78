"""Models run without transformers and beside transformers 5, compile once, and train."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import monitoring
from numpy.typing import NDArray

from tests import checkpoints
from tests.support.building import assemble_pair
from tests.support.consumers import run_with_pytorch
from tests.support.environments import quick_models
from ved.modeling import FlaxVisionEncoderDecoderModel
from ved.modeling.errors import ModelingError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "flax-models.md"
SITE_PACKAGES = sysconfig.get_path("purelib")
COMPILATION = "/jax/core/compile/backend_compile_duration"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assemble a checkpoint as `owner/vit-gpt2`, in the returned directory."""
    folder = tmp_path_factory.mktemp("reader")
    small = {"num_hidden_layers": 1}
    sources = (
        checkpoints.ENCODERS["vit"](folder / "vit", config=small),
        checkpoints.DECODERS["gpt2"](folder / "gpt2", hidden_size=48, config=small),
    )
    assemble_pair(*sources, folder / "owner" / "vit-gpt2")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> FlaxVisionEncoderDecoderModel:
    return FlaxVisionEncoderDecoderModel.from_pretrained(folder / "owner" / "vit-gpt2")


def images(count: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(count, 3, 16, 16)).astype(np.float32)


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Give a list that grows with every program that XLA compiles."""
    found: list[str] = []

    def listener(event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILATION:
            found.append(event)

    monitoring.register_event_duration_secs_listener(listener)
    try:
        yield found
    finally:
        monitoring.unregister_event_duration_listener(listener)


@pytest.mark.parametrize("arguments", [{}, {"num_beams": 2}])
def test_generate_compiles_once_for_settings_and_shapes(
    arguments: dict[str, Any], folder: Path, model: FlaxVisionEncoderDecoderModel
) -> None:
    other = FlaxVisionEncoderDecoderModel.from_pretrained(folder / "owner" / "vit-gpt2")
    first = model.generate(images(), max_new_tokens=4, **arguments).sequences

    with compilations() as found:
        again = other.generate(images(), max_new_tokens=4, **arguments).sequences
    np.testing.assert_array_equal(first, again)
    assert found == []

    with compilations() as found:
        model.generate(images(), max_new_tokens=5, **arguments)
    assert found


def test_stream_yields_the_tokens_of_generate(model: FlaxVisionEncoderDecoderModel) -> None:
    arguments: dict[str, Any] = {"do_sample": True, "prng_key": jax.random.key(3)}
    whole = model.generate(images(), max_new_tokens=6, **arguments).sequences

    streamed = np.stack([*model.stream(images(), max_new_tokens=6, **arguments)], axis=1)

    np.testing.assert_array_equal(whole[:, 1 : 1 + streamed.shape[1]], streamed)
    with pytest.raises(ModelingError):
        model.stream(images(), num_beams=2)


def test_stream_stops_when_all_texts_have_ended(model: FlaxVisionEncoderDecoderModel) -> None:
    ends = [*range(385)]

    streamed = [*model.stream(images(), max_new_tokens=6, eos_token_id=ends, pad_token_id=0)]

    assert len(streamed) == 1


def test_generate_puts_the_start_token_before_prompts(
    model: FlaxVisionEncoderDecoderModel,
) -> None:
    start = model.config.decoder_start_token_id
    prompt, mask = np.array([[5, 6], [0, 7]]), np.array([[1, 1], [0, 1]])
    whole = np.pad(prompt, ((0, 0), (1, 0)), constant_values=start)

    ours, expected = (
        model.generate(
            images(), max_new_tokens=4, decoder_input_ids=ids, decoder_attention_mask=given
        ).sequences
        for ids, given in (
            (prompt, mask),
            (whole, np.pad(mask, ((0, 0), (1, 0)), constant_values=1)),
        )
    )

    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(ours[:, :3], whole)


def test_generate_refuses_more_tokens_than_positions(model: FlaxVisionEncoderDecoderModel) -> None:
    with pytest.raises(ModelingError) as caught:
        model.generate(images(), max_new_tokens=64)

    assert "64" in str(caught.value)


def test_outputs_can_be_returned_from_jit(model: FlaxVisionEncoderDecoderModel) -> None:
    ids = np.array([[384, 5, 6]] * 2)

    @jax.jit
    def call(params: Any) -> Any:
        return model(images(), ids, params=params, output_attentions=True)

    output = call(model.params)

    assert output.logits.shape == output[0].shape == (2, 3, 385)
    assert output.cross_attentions[0].shape == (2, 2, 3, 5)
    plain: Any = model(images(), ids, return_dict=False)
    assert type(plain) is tuple
    np.testing.assert_allclose(plain[0], output.logits, atol=1e-5)


def losses(folder: Path, steps: int = 3, **options: Any) -> list[float]:
    """Train with dropout; return the losses."""
    model = FlaxVisionEncoderDecoderModel.from_pretrained(folder / "owner" / "vit-gpt2", **options)
    ids = np.array([[384, 5, 6, 7], [384, 8, 9, 10]])
    optimizer = optax.sgd(0.1)

    def loss_of(params: Any, key: jax.Array) -> jax.Array:
        logits = model(images(), ids, params=params, train=True, dropout_rng=key).logits
        found = optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], ids[:, 1:])
        return jnp.mean(found, dtype=jnp.float32)

    @jax.jit
    def step(params: Any, state: Any, key: jax.Array) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(params, key)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    params, state = model.params, optimizer.init(model.params)
    found = []
    for number in range(steps):
        params, state, loss = step(params, state, jax.random.key(number))
        found.append(float(loss))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    return found


def test_training_runs_with_dropout_remat_and_bfloat16(folder: Path) -> None:
    plain = losses(folder)

    assert plain == sorted(plain, reverse=True)
    np.testing.assert_allclose(losses(folder, remat=True), plain, atol=1e-5)
    half = losses(folder, dtype=jnp.bfloat16)
    np.testing.assert_allclose(half, plain, atol=0.1)
    assert half != plain


def test_training_needs_a_key(model: FlaxVisionEncoderDecoderModel) -> None:
    with pytest.raises(ModelingError):
        model(images(), np.array([[384]] * 2), train=True)


def program() -> str:
    """Return all code of the page, in the order of the page."""
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(code) > 5
    return "\n".join(code)


def run(code: str, folder: Path, **variables: str) -> str:
    environment = {name: os.environ[name] for name in ("PATH", "HOME")}
    return subprocess.check_output(
        [sys.executable, "-c", code],
        env={**environment, "HF_HUB_OFFLINE": "1", **quick_models(), **variables},
        cwd=folder,
        text=True,
    )


def test_page_runs_without_transformers_on_eight_devices(folder: Path) -> None:
    block = "import sys\nsys.modules['transformers'] = None\n"
    report = (
        "\nprint(sorted({name.split('.')[0] + '.' + name.split('.')[1] for name in sys.modules\n"
        "    if name.startswith('ved.')}), sys.modules['transformers'])"
    )

    printed = run(
        block + program() + report,
        folder,
        PYTHONPATH=str(ROOT),
        XLA_FLAGS="--xla_force_host_platform_device_count=8",
    )

    assert printed.splitlines()[-1] == "['ved.modeling'] None"
    assert "'data': 8" in printed
    assert (folder / "trained" / "flax_model.msgpack").is_file()


def test_sharded_model_gives_the_same_tokens(folder: Path) -> None:
    code = """
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from ved.modeling import FlaxVisionEncoderDecoderModel as Model
plain = Model.from_pretrained("owner/vit-gpt2")
mesh = Mesh(np.array(jax.devices()), ("model",))
shardings = jax.tree.map(
    lambda leaf: NamedSharding(mesh, P("model") if leaf.shape[0] % 8 == 0 else P()), plain.params
)
split = Model.from_pretrained("owner/vit-gpt2", sharding=shardings)
images = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)
ids = np.array([[384, 5, 6]] * 2)
logits = [jax.jit(lambda p: m(images, ids, params=p).logits)(m.params) for m in (plain, split)]
tokens = [m.generate(images, max_new_tokens=8).sequences for m in (plain, split)]
print(len(jax.devices()), np.abs(np.subtract(*logits)).max() < 1e-5, (tokens[0] == tokens[1]).all())
"""
    flags = "--xla_force_host_platform_device_count=8"

    printed = run(code, folder, PYTHONPATH=str(ROOT), XLA_FLAGS=flags)

    assert printed.split() == ["8", "True", "True"]


def test_model_works_beside_transformers_5_in_one_process(folder: Path) -> None:
    (folder / "beside.py").write_text(f"""
import os, sys
os.environ |= {quick_models()!r}
sys.path += [{str(ROOT)!r}, {SITE_PACKAGES!r}]  # after the libraries of this environment
import numpy as np, torch, transformers
from ved.modeling import FlaxVisionEncoderDecoderModel
repo = "owner/vit-gpt2"
images = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)
ours = FlaxVisionEncoderDecoderModel.from_pretrained(repo)
ours = ours.generate(images, max_new_tokens=8).sequences
theirs = transformers.VisionEncoderDecoderModel.from_pretrained(repo).generate(
    torch.tensor(images), max_new_tokens=8, do_sample=False
)
np.savez("tokens.npz", ours=ours, theirs=theirs, release=transformers.__version__)
""")

    run_with_pytorch("transformers5", folder, folder / "beside.py")

    with np.load(folder / "tokens.npz") as tokens:
        assert str(tokens["release"]).startswith("5.")
        np.testing.assert_array_equal(tokens["ours"], tokens["theirs"])

"""ved.modeling gives the tokens, logits and losses of PyTorch, with transformers 4 and 5."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict
from numpy.typing import NDArray

from tests import checkpoints
from tests.support.building import (
    assemble_pair,
    assert_same_parameters,
    edit_json,
    parameters_in,
    parameters_of,
)
from tests.support.consumers import run_consumer
from tests.support.faults import ALL_FAULTS
from ved.manifest.settings import CheckpointSettings
from ved.modeling import FlaxVisionEncoderDecoderModel
from ved.modeling.loading import load_checkpoint

pytestmark = pytest.mark.slow

Arrays = dict[str, NDArray[Any]]
Answers = Callable[[str], NDArray[Any]]

CONSUMER = Path(__file__).parents[1] / "consumers" / "decoding.py"
# Every encoder and every decoder, but not every pair: a decoder sees only the encoder's states.
PAIRS = [
    *(f"vit-{decoder}" for decoder in checkpoints.DECODERS),
    *(f"{encoder}-gpt2" for encoder in checkpoints.ENCODERS if encoder != "vit"),
    *("beit-bert", "dinov2-roberta"),
]
# Compiling a gradient takes seconds. Each kind of layer and of head is in one of these.
GRADIENTS = [
    *("vit-gpt2", "vit-bert", "vit-mbart", "vit-electra", "vit-pegasus"),
    *("beit-gpt2", "clip_vision_model-gpt2", "dinov3_vit-gpt2", "swin-gpt2", "swinv2-gpt2"),
]
FAMILIES_OF = {
    f"{encoder}-{decoder}": (encoder, decoder)
    for encoder in checkpoints.ENCODERS
    for decoder in checkpoints.DECODERS
}
OTHER_PAD = "vit-roberta-other-pad"
# Start, pad and end token of the samples; in GPT-2, and in no other, they are one.
TOKENS = {
    "gpt2": (384, 384, 384),
    "bart": (2, 1, 2),
    "bert": (2, 0, 3),
    "roberta": (0, 1, 2),
    "xlm-roberta": (0, 1, 2),
    "roberta-prelayernorm": (0, 1, 2),
    "mbart": (260, 1, 2),
    "trocr": (2, 1, 2),
    "pegasus": (0, 0, 1),
    "xglm": (2, 1, 2),
    "electra": (2, 0, 3),
    "bert-generation": (2, 0, 3),
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "mbart": {"encoder_layers": 1},  # PyTorch 4.57 sizes the cache of the decoder by it
    "pegasus": {"scale_embedding": False},  # otherwise its texts are one token repeated
}
COMPILED: dict[tuple[Any, ...], Callable[..., Any]] = {}
NOT_COUNTED = -100
# Many tokens, so that texts end at different lengths.
ENDS = [*range(0, 300, 7)]
TOLERANCE = 1e-4
# Later versions give a model's parameters other names than those of its checkpoint.
NAMES_AS_STORED = "transformers4"


def images(height: int = 16, width: int = 16) -> Arrays:
    """Return two images. The sample ViT and BEiT take 16 x 16 pixels, DINOv2 takes 32 x 32."""
    shape = (2, 3, height, width)
    return {"pixel_values": np.random.default_rng(0).normal(size=shape).astype(np.float32)}


def prompt(decoder: str) -> Arrays:
    """Return the start of a text that contains a masked pad token."""
    start, pad, _ = TOKENS[decoder]
    ids, mask = np.array([start, 7, pad, 9]), np.array([1, 1, 0, 1])
    return {
        "decoder_input_ids": np.stack([ids] * 2),
        "decoder_attention_mask": np.stack([mask] * 2),
    }


def batch(decoder: str, *texts: list[int]) -> Arrays:
    """Return texts with their end tokens as a training loop has them, padded on the right.

    The mask comes from the lengths, not from ids, because the end token may be the pad token.
    """
    start, pad, end = TOKENS[decoder]
    shape = (len(texts), 1 + max(map(len, texts)))
    ids, mask, labels = np.full(shape, pad), np.zeros(shape, int), np.full(shape, NOT_COUNTED)
    for row, text in enumerate(texts):
        length = 1 + len(text)
        ids[row, :length] = [start, *text]
        mask[row, :length] = 1
        labels[row, :length] = [*text, end]
    return {"decoder_input_ids": ids, "decoder_attention_mask": mask, "labels": labels}


def padded_text(decoder: str) -> Arrays:
    """Return a batch without labels, with a pad token inside a text too."""
    inputs = batch(decoder, [5, 17, TOKENS[decoder][1], 42, 9, 200], [7, 30, 8])
    return {name: array for name, array in inputs.items() if name != "labels"}


@dataclass(frozen=True)
class Question:
    """A task for both Flax and PyTorch; `inputs` are the arguments of the model, by name."""

    task: str
    pair: str
    inputs: Arrays = field(default_factory=images)
    arguments: dict[str, Any] = field(default_factory=dict)


WITH_BEAMS = [name for name in checkpoints.DECODERS if name in checkpoints.WITH_FLAX_CLASS]
# By label: the decoder, the prompt, and settings besides the number of beams.
BEAMS: dict[str, tuple[str, Arrays, dict[str, Any]]] = {
    # The others have the layers and the cache of these.
    **{
        decoder: (decoder, {}, {"max_new_tokens": 20})
        for decoder in (WITH_BEAMS if ALL_FAULTS else ("gpt2", "bart", "roberta"))
    },
    "prompt": ("gpt2", prompt("gpt2"), {"max_new_tokens": 12}),
    "several": ("gpt2", {}, {"max_new_tokens": 12, "num_return_sequences": 2}),
    "short": ("gpt2", {}, {"max_new_tokens": 12, "length_penalty": -2.0, "eos_token_id": ENDS}),
    "early": ("gpt2", {}, {"max_new_tokens": 12, "early_stopping": True, "eos_token_id": ENDS}),
    "never": (
        "roberta",
        {},
        {
            "max_new_tokens": 12,
            "early_stopping": "never",
            "length_penalty": 2.0,
            "eos_token_id": ENDS,
        },
    ),
    "rules": ("bert", {}, {"max_new_tokens": 12, "no_repeat_ngram_size": 2, "min_new_tokens": 9}),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "length": {"max_length": 9},
    "default length": {},
    "rules": {"max_new_tokens": 16, "repetition_penalty": 1.8, "no_repeat_ngram_size": 2},
    "forced": {"max_new_tokens": 8, "forced_bos_token_id": 7, "forced_eos_token_id": 9},
    "words": {"max_new_tokens": 8, "suppress_tokens": [*range(0, 384, 2)]},
}


QUESTIONS = {
    **{f"states {pair}": Question("encode", pair) for pair in PAIRS},
    **{pair: Question("generate", pair, arguments={"max_new_tokens": 20}) for pair in PAIRS},
    **{
        f"prompt {decoder}": Question(
            "generate", f"vit-{decoder}", images() | prompt(decoder), {"max_new_tokens": 12}
        )
        for decoder in ("gpt2", "roberta")
    },
    # Positions counted from this pad id would be outside of the table of position embeddings.
    "other pad": Question("generate", OTHER_PAD, arguments={"max_new_tokens": 12}),
    **{
        f"beams {label}": Question(
            "generate", f"vit-{decoder}", images() | inputs, {"num_beams": 3, **arguments}
        )
        for label, (decoder, inputs, arguments) in BEAMS.items()
    },
    **{
        f"settings {label}": Question("generate", "vit-gpt2", arguments=arguments)
        for label, arguments in SETTINGS.items()
    },
    "end": Question(
        "generate", "vit-roberta", arguments={"max_new_tokens": 12, "eos_token_id": 304}
    ),
    **{
        f"text {decoder}": Question("read", f"vit-{decoder}", images() | padded_text(decoder))
        for decoder in checkpoints.DECODERS
    },
    "size": Question("read", "dinov2-gpt2", images(24, 40) | padded_text("gpt2")),
    **{
        f"training {decoder}": Question(
            "train",
            f"vit-{decoder}",
            images() | batch(decoder, [5, 17, 42, 9], [7, 30]),
            {"steps": 10, "learning_rate": 0.001},
        )
        for decoder in ("gpt2", "roberta")
    },
    **{
        f"gradient {pair}": Question(
            "differentiate", pair, images() | batch(FAMILIES_OF[pair][1], [5, 17, 42, 9], [7, 30])
        )
        for pair in (PAIRS if ALL_FAULTS else GRADIENTS)
    },
}


def encoder_outputs(model: Any, pixel_values: NDArray[Any]) -> Any:
    # Pairs with the same encoder share its program.
    key = ("encode", model.config.encoder.model_type)
    if key not in COMPILED:
        COMPILED[key] = jax.jit(lambda params: model.encode(pixel_values, params=params))
    return COMPILED[key](model.params)


def encode(model: Any, inputs: Arrays) -> Any:
    return encoder_outputs(model, inputs["pixel_values"]).last_hidden_state


def generate(model: Any, inputs: Arrays, **arguments: Any) -> Any:
    pixel_values = inputs["pixel_values"]
    others = {name: array for name, array in inputs.items() if name != "pixel_values"}
    # The states of most encoders have one shape, so each decoder is compiled once or twice.
    asked = (model.config.decoder.model_type, *others, repr(arguments))
    if asked not in COMPILED:
        COMPILED[asked] = jax.jit(
            lambda params, **inputs: (
                model.generate(pixel_values, params=params, **inputs, **arguments).sequences
            )
        )
    params = {name: part for name, part in model.params.items() if name != "encoder"}
    return COMPILED[asked](params, encoder_outputs=encoder_outputs(model, pixel_values), **others)


def read(model: Any, inputs: Arrays) -> Any:
    return jax.jit(lambda params: model(**inputs, params=params).logits)(model.params)


def loss(params: Any, model: Any, inputs: Arrays) -> jax.Array:
    """Return the mean cross-entropy of the labels that count."""
    others = {name: array for name, array in inputs.items() if name != "labels"}
    counted = inputs["labels"] != NOT_COUNTED
    labels = np.where(counted, inputs["labels"], 0)[..., None]
    log_probabilities = jax.nn.log_softmax(model(**others, params=params).logits)
    chosen = jnp.take_along_axis(log_probabilities, labels, axis=-1)[..., 0]
    return -jnp.mean(chosen, where=counted)


def differentiate(model: Any, inputs: Arrays) -> Any:
    """Return the gradient of the loss by all parameters, in the order of PyTorch's names."""
    gradient = jax.jit(lambda params: jax.grad(loss)(params, model, inputs))(model.params)
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder, params=gradient, safe_serialization=True)
        by_name = safetensors.numpy.load_file(Path(folder, "model.safetensors"))
    for name in model.module.decoder_settings.buffers:
        by_name[f"decoder.{name}"][:] = 0  # PyTorch has a parameter there, which it does not train
    found = [name for name in sorted(by_name) if by_name[name].dtype.kind == "f"]  # no buffers
    return np.concatenate([by_name[name].ravel() for name in found])


def train(model: Any, inputs: Arrays, *, steps: int, learning_rate: float) -> Any:
    @jax.jit
    def step(params: Any) -> tuple[Any, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(params, model, inputs)
        return jax.tree.map(lambda old, slope: old - learning_rate * slope, params, gradient), value

    params, losses = model.params, []
    for _ in range(steps):
        params, value = step(params)
        losses.append(value)
    return jnp.stack(losses)


TASKS: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (encode, generate, read, train, differentiate)
}


def stronger(source: Path) -> Path:
    """Scale the weights of a source, and its positions more, so that all affect the tokens."""
    path = source / "model.safetensors"
    weights = safetensors.numpy.load_file(path)
    for name, weight in weights.items():
        if weight.ndim > 1 and weight.dtype == np.float32:
            weights[name] = weight * np.float32(40 if "position" in name or "wpe" in name else 10)
    safetensors.numpy.save_file(weights, path, {"format": "pt"})
    return source


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Assemble the pairs, with initialized cross-attention as strong as the other parameters."""
    folder = tmp_path_factory.mktemp("modeling")
    strong = {"initializer_range": 0.3, "init_std": 0.3}
    made = {}
    encoders = {
        name: stronger(write(folder / name)) for name, write in checkpoints.ENCODERS.items()
    }
    for pair in PAIRS:
        encoder, decoder = FAMILIES_OF[pair]
        write = checkpoints.DECODERS[decoder]
        config = OTHER_SETTINGS.get(decoder, {})
        source = write(folder / f"{pair}-source", hidden_size=48, config=config)
        edit_json(source / "config.json", **strong)  # afterwards: samples are drawn with it, too
        assemble_pair(encoders[encoder], stronger(source), folder / pair)
        made[pair] = folder / pair
    sources = folder / "vit", folder / "vit-roberta-source"
    assemble_pair(*sources, folder / OTHER_PAD, CheckpointSettings(token_ids={"pad": 300}))
    return {**made, OTHER_PAD: folder / OTHER_PAD}


@pytest.fixture(scope="module")
def load(directories: dict[str, Path]) -> Callable[[str], Any]:
    """Return a function that loads a pair once."""
    return functools.cache(
        lambda pair: FlaxVisionEncoderDecoderModel.from_pretrained(directories[pair])
    )


@pytest.fixture(scope="module")
def flax(load: Callable[[str], Any]) -> Answers:
    """Return a function that answers a question with ved.modeling, given its label."""

    @functools.cache
    def answer(label: str) -> NDArray[Any]:
        question = QUESTIONS[label]
        perform = TASKS[question.task]
        return np.asarray(perform(load(question.pair), question.inputs, **question.arguments))

    return answer


@pytest.fixture(scope="module")
def pytorch_answers(
    directories: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Arrays]:
    """Return a function that answers all questions with PyTorch, given the environment."""

    @functools.cache
    def answers(environment: str) -> Arrays:
        folder = tmp_path_factory.mktemp("pytorch")
        asked = {}
        for number, (label, question) in enumerate(QUESTIONS.items()):
            if question.task == "differentiate" and environment != NAMES_AS_STORED:
                continue
            np.savez(folder / f"{number}.npz", **question.inputs)  # type: ignore[arg-type]
            asked[label] = {
                "task": question.task,
                "directory": str(directories[question.pair]),
                "inputs": str(folder / f"{number}.npz"),
                "arguments": question.arguments,
            }
        return run_consumer(environment, CONSUMER, asked, folder)

    return answers


@pytest.fixture(params=["transformers4", "transformers5"])
def pytorch(request: pytest.FixtureRequest, pytorch_answers: Callable[[str], Arrays]) -> Answers:
    """Return a function that answers a question with PyTorch and one version of transformers."""
    return pytorch_answers(request.param).__getitem__


def test_pytorch_finds_a_place_for_every_tensor(
    pytorch: Answers, directories: dict[str, Path]
) -> None:
    report = json.loads(str(pytorch("report")))
    assert report == {str(directory): [] for directory in directories.values()}


@pytest.mark.parametrize("pair", PAIRS)
def test_flax_reads_the_same_bits_from_safetensors(
    pair: str, directories: dict[str, Path], load: Callable[[str], Any], tmp_path: Path
) -> None:
    expected = parameters_in(directories[pair])
    (tmp_path / "model.safetensors").symlink_to(directories[pair] / "model.safetensors")
    params = load_checkpoint(tmp_path, load(pair).params)
    assert_same_parameters(
        {path: np.asarray(leaf) for path, leaf in flatten_dict(params).items()}, expected
    )
    assert_same_parameters(parameters_of(load(pair)), expected)


@pytest.mark.parametrize("pair", PAIRS)
def test_encode_gives_the_states_of_pytorch(pair: str, flax: Answers, pytorch: Answers) -> None:
    states, expected = flax(f"states {pair}"), pytorch(f"states {pair}")

    assert states.shape == expected.shape
    assert np.abs(states - expected).max() < TOLERANCE * np.abs(expected).max()
    assert np.abs(states[0] - states[1]).max() > 1e-3


@pytest.mark.parametrize("pair", PAIRS)
def test_generate_gives_the_tokens_of_pytorch_for_every_pair(
    pair: str, flax: Answers, pytorch: Answers
) -> None:
    first, second = tokens = flax(pair)

    np.testing.assert_array_equal(tokens, pytorch(pair))
    # The text depends on the image, and is not one token repeated.
    assert tokens.shape == (2, 21)
    assert not np.array_equal(first, second)
    assert max(len(set(first)), len(set(second))) > 2


@pytest.mark.parametrize("decoder", ["gpt2", "roberta"])
def test_generate_continues_a_masked_prompt_like_pytorch(
    decoder: str, flax: Answers, pytorch: Answers
) -> None:
    tokens = flax(f"prompt {decoder}")

    np.testing.assert_array_equal(tokens, pytorch(f"prompt {decoder}"))
    np.testing.assert_array_equal(tokens[:, :4], prompt(decoder)["decoder_input_ids"])


def test_generate_with_another_pad_token_keeps_positions(flax: Answers, pytorch: Answers) -> None:
    tokens = flax("other pad")

    np.testing.assert_array_equal(tokens, pytorch("other pad"))
    np.testing.assert_array_equal(tokens, flax("vit-roberta")[:, :13])


@pytest.mark.parametrize("label", BEAMS)
def test_generate_with_beams_gives_the_tokens_of_pytorch(
    label: str, flax: Answers, pytorch: Answers
) -> None:
    tokens, expected = flax(f"beams {label}"), pytorch(f"beams {label}")

    # PyTorch returns as many tokens as the longest text has.
    np.testing.assert_array_equal(tokens[:, : expected.shape[1]], expected)
    if label in checkpoints.DECODERS:
        assert not np.array_equal(tokens, flax(f"vit-{label}"))


@pytest.mark.parametrize("label", SETTINGS)
def test_generate_follows_settings_like_pytorch(
    label: str, flax: Answers, pytorch: Answers
) -> None:
    tokens, expected = flax(f"settings {label}"), pytorch(f"settings {label}")

    np.testing.assert_array_equal(tokens[:, : expected.shape[1]], expected)


def test_generate_pads_a_finished_text_like_pytorch(flax: Answers, pytorch: Answers) -> None:
    tokens = flax("end")

    np.testing.assert_array_equal(tokens, pytorch("end"))
    end = QUESTIONS["end"].arguments["eos_token_id"]
    ended = [end in row for row in tokens]
    assert sorted(ended) == [False, True]
    after = tokens[ended.index(True)].tolist()
    assert set(after[after.index(end) + 1 :]) == {TOKENS["roberta"][1]}


@pytest.mark.parametrize("decoder", checkpoints.DECODERS)
def test_call_gives_the_logits_of_pytorch_for_padded_text(
    decoder: str, flax: Answers, pytorch: Answers
) -> None:
    inputs = padded_text(decoder)
    is_text = inputs["decoder_attention_mask"] > 0

    difference = np.abs(flax(f"text {decoder}") - pytorch(f"text {decoder}"))[is_text]

    assert difference.max() < TOLERANCE
    assert not is_text.all()


def test_call_interpolates_dinov2_positions_like_pytorch(flax: Answers, pytorch: Answers) -> None:
    is_text = padded_text("gpt2")["decoder_attention_mask"] > 0

    difference = np.abs(flax("size") - pytorch("size"))[is_text]

    assert difference.max() < TOLERANCE


@pytest.mark.parametrize("decoder", ["gpt2", "roberta"])
def test_training_gives_the_losses_of_pytorch(
    decoder: str, flax: Answers, pytorch: Answers
) -> None:
    losses = flax(f"training {decoder}")

    np.testing.assert_allclose(losses, pytorch(f"training {decoder}"), atol=TOLERANCE)
    assert (np.diff(losses) < 0).all()


@pytest.mark.parametrize("pair", PAIRS if ALL_FAULTS else GRADIENTS)
def test_loss_has_the_gradient_of_pytorch(
    pair: str, flax: Answers, pytorch_answers: Callable[[str], Arrays]
) -> None:
    found = flax(f"gradient {pair}")
    expected = pytorch_answers(NAMES_AS_STORED)[f"gradient {pair}"]

    size = np.abs(expected).max()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-3 * size
    assert size > 0


def test_decode_after_encode_gives_the_logits_of_call(load: Callable[[str], Any]) -> None:
    model = load("vit-roberta")
    inputs: dict[str, Any] = {**padded_text("roberta")}
    pixel_values = images()["pixel_values"]

    @jax.jit
    def decoded(params: Any) -> Any:
        states = model.encode(pixel_values, params=params)
        return model.decode(encoder_outputs=states, params=params, **inputs).logits

    expected = read(model, images() | inputs)
    np.testing.assert_allclose(decoded(model.params), expected, atol=TOLERANCE)


def test_call_uses_given_position_ids_unchanged(load: Callable[[str], Any]) -> None:
    model = load("vit-roberta")
    text = images() | padded_text("roberta")
    positions = {"decoder_position_ids": np.array([[2, 3, 4, 5, 6, 7, 8]] * 2)}

    @jax.jit
    def computed(params: Any) -> Any:
        return model.module.apply({"params": params}, **text, **positions).logits

    logits = read(model, text | positions)
    np.testing.assert_array_equal(logits, computed(model.params))
    assert np.abs(logits - read(model, text)).max() > TOLERANCE


def test_generate_samples_by_the_prng_key(load: Callable[[str], Any]) -> None:
    model = load("vit-bert")
    pixel_values = images()["pixel_values"]

    @jax.jit
    def sampled(params: Any, key: jax.Array) -> Any:
        return model.generate(
            pixel_values, do_sample=True, prng_key=key, params=params, max_new_tokens=8
        ).sequences

    first, again, other = (
        sampled(model.params, jax.random.PRNGKey(seed)).tolist() for seed in (0, 0, 1)
    )

    assert first == again != other

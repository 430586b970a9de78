"""Fine-tune a checkpoint of VED in Flax, on a dataset of images and texts."""

# %% [markdown]
# # Fine-tune a checkpoint of VED in Flax
#
# A checkpoint that VED has built joins a pretrained vision encoder and a pretrained text decoder.
# It writes noise until it is trained. This program trains it on images with texts, and publishes
# the result.
#
# The program is a script and a notebook. Fine-tuning explains it:
# https://github.com/ved-action/ved/blob/main/docs/fine-tuning.md

# %% tags=["install"]
# %pip install --quiet flax optax datasets transformers pillow
# %pip install --quiet --no-deps "ved @ git+https://github.com/ved-action/ved@v0.1.0"

# %%
import argparse
import json
import sys
import time
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax
from datasets import Dataset, DatasetDict, Image, load_dataset
from flax.serialization import from_bytes, to_bytes
from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer

from ved.modeling import FlaxVisionEncoderDecoderModel

# %% [markdown]
# ## Arguments
#
# In the notebook, write your own checkpoint, dataset and directory into `arguments`, and options.
#
# With GPUs and TPUs, `--bf16` halves the time. `--accumulate` splits each batch into parts, if
# the memory is too small for a whole one.

# %% tags=["arguments"]
parser = argparse.ArgumentParser(description="Fine-tune a checkpoint of VED in Flax.")
parser.add_argument("checkpoint", help="a repo on the Hub, or a directory")
parser.add_argument("dataset", help="a dataset on the Hub, or a directory, with images and texts")
parser.add_argument("output", help="a directory for the trained checkpoint")
parser.add_argument("--text-column", default="text", help="the name of the texts in the dataset")
parser.add_argument(
    "--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="in pixels"
)
parser.add_argument("--max-tokens", type=int, default=64, help="longer texts are truncated")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--patience", type=int, default=3, help="epochs without more similar texts")
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--accumulate", type=int, default=1, help="parts of each batch")
parser.add_argument("--learning-rate", type=float, default=5e-5)
parser.add_argument("--bf16", action="store_true", help="compute in bfloat16")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--resume", action="store_true", help="continue an interrupted training")
parser.add_argument("--push", metavar="REPO", help="publish the trained checkpoint on the Hub")

arguments = sys.argv[1:]  # in a notebook: ["me/vit-gpt2", "me/digits", "captioner"]
args = parser.parse_args(arguments)
output = Path(args.output)

# %% [markdown]
# ## Checks
#
# A wrong argument ends the program before it loads a model. So does an output directory that has
# the state of a training, without `--resume`, or with other arguments than before.


# %%
def check_arguments() -> None:
    """Stop at a number that trains nothing."""
    least = {"epochs": 1, "patience": 1, "batch_size": 1, "accumulate": 1, "seed": 0}
    least["max_tokens"] = 2  # one of a text, and the end token
    for name, number in least.items():
        if getattr(args, name) < number:
            parser.error(f"--{name.replace('_', '-')} is less than {number}")
    if args.image_size and min(args.image_size) < 1:
        parser.error("--image-size is less than 1 pixel")
    if not 0 < args.learning_rate < 1:
        parser.error("--learning-rate is not between 0 and 1")
    if args.batch_size % args.accumulate:
        parser.error("--batch-size is not a multiple of --accumulate")


def check_state(exists: bool) -> None:
    """Stop if the output has a state of another training, or one that would be overwritten."""
    choices = {"epochs", "patience", "output", "push", "resume"}  # that may differ
    settings = {name: value for name, value in vars(args).items() if name not in choices}
    file = output / "state.json"
    if output.is_file():
        parser.error(f"{output} is a file, and not a directory")
    if exists and not args.resume:
        parser.error(f"{output} has a training: pass --resume, or another directory")
    if not args.resume:
        output.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings), "utf-8")
        return
    if not exists or not file.exists():
        parser.error(f"--resume: {output} has no state of this program; start without --resume")
    saved = json.loads(file.read_text("utf-8"))
    for name, value in settings.items():
        before = saved.get(name)
        if before != value:
            parser.error(f"--resume: {output} was trained with {name} {before}, not {value}")


def stop(problem: str, error: BaseException) -> NoReturn:
    """End the program with a problem and its cause, in one line."""
    cause = str(error) or type(error).__name__
    sys.exit(f"{problem}: {shorten(cause, 300)}")


state_file = output / "state.msgpack"
check_arguments()
check_state(state_file.exists())

# %% [markdown]
# ## Model
#
# Parameters are float32, also if the computation is in bfloat16: small steps would be lost in 16
# bits.

# %%
try:
    config = AutoConfig.from_pretrained(args.checkpoint)
    if config.model_type != "vision-encoder-decoder":
        raise ValueError(f"it is a {config.model_type}, and no pair; build one with VED")
    model = FlaxVisionEncoderDecoderModel.from_pretrained(
        args.checkpoint,
        dtype=jnp.bfloat16 if args.bf16 else jnp.float32,
        param_dtype=jnp.float32,
    )
    tokenizer = AutoTokenizer.from_pretrained(args.checkpoint)
    image_processor = AutoImageProcessor.from_pretrained(args.checkpoint)
except Exception as error:  # libraries raise many types for a damaged or missing file
    stop(f"{args.checkpoint} cannot be loaded as a checkpoint of VED", error)
if args.image_size:  # for encoders that interpolate their position embeddings, such as DINOv2
    size = dict(zip(("height", "width"), args.image_size, strict=True))
    image_processor.size = size
    image_processor.do_center_crop = False
    try:
        jax.eval_shape(model.encode, jnp.zeros((1, 3, *args.image_size)))
    except Exception as error:
        stop("--image-size: choose another, because the encoder refuses this one", error)

# %% [markdown]
# ## Data
#
# A directory has a subdirectory for each split, with images and a `metadata.jsonl`. A line of
# that file is `{"file_name": "1.png", "text": "a handwritten seven"}`.
#
# Labels are the tokens of a text and the end token. Padding is -100, because the pad token of
# many decoders is the end token, which the model has to learn.


# %%
def check_examples(place: str, examples: Dataset) -> None:
    """Stop at the first image without a text, or that cannot be read.

    Otherwise it would stop the training when its turn comes, maybe hours later.
    """
    if not isinstance(examples.features.get("image"), Image):
        sys.exit(f"{place}: no image column; each line of metadata.jsonl needs a file_name")
    if args.text_column not in examples.features:
        sys.exit(f"{place}: no column {args.text_column}; add it, or pass --text-column")
    for number, row in enumerate(examples.cast_column("image", Image(decode=False)), start=1):
        file, text = row["image"] or {}, row[args.text_column]
        name = f"{place}, image {number}, {file.get('path')}"
        if not isinstance(text, str) or not text.strip():
            sys.exit(f"{name}: its text is {text!r}; write a text, or remove the image")
        try:
            Image().decode_example(file)
        except Exception as error:
            stop(f"{name}: replace this image, or remove it and its text", error)


def load_splits(name: str) -> DatasetDict:
    """Return the splits train, validation and test; missing ones are a tenth of train."""
    try:
        data = load_dataset(name)
    except Exception as error:
        stop(f"The dataset {name} cannot be read", error.__cause__ or error)
    for split in data:
        check_examples(f"{name}, split {split}", data[split])
    if "train" not in data:
        sys.exit(f"{name} has no split train; put images into a subdirectory train")
    for split in ("test", "validation"):
        if split not in data:
            if len(data["train"]) < 2:
                sys.exit(f"{name} has too few images; add some, or a split {split}")
            parts = data["train"].train_test_split(test_size=0.1, seed=0)
            data |= {"train": parts["train"], split: parts["test"]}
    return DatasetDict(data)


def read_labels(texts: list[str]) -> list[list[int]]:
    """Return the tokens that the model has to write for each text, with one end token."""
    start, end = model.config.decoder_start_token_id, tokenizer.eos_token_id
    most = min(args.max_tokens, tokenizer.model_max_length - 1)  # the start token has a position
    labels = []
    for tokens in tokenizer(texts).input_ids:
        if tokens and tokens[0] in (start, end):  # the decoder gets its start token anyway
            tokens = tokens[1:]
        length = tokens.index(end) if end in tokens else len(tokens)
        labels.append([*tokens[: min(length, most - 1)], end])
    return labels


def save_tokenizer() -> None:
    """Write the tokenizer, for transformers 4.57, too, which lacks the class of transformers 5."""
    tokenizer.save_pretrained(output)
    config = output / "tokenizer_config.json"
    text = config.read_text("utf-8").replace('"TokenizersBackend"', '"PreTrainedTokenizerFast"')
    config.write_text(text, "utf-8")


def read_images(images: list[Any]) -> Any:
    """Return pixels: float32 (images, channels, height, width)."""
    return image_processor(
        [image.convert("RGB") for image in images], return_tensors="np"
    ).pixel_values


def pad(labels: list[list[int]], length: int) -> np.ndarray:
    """Return labels of one length, int32 (texts, length), padded with -100."""
    return np.array([[*row, *[-100] * (length - len(row))] for row in labels], np.int32)


data = load_splits(args.dataset)
rows = {split: read_labels(data[split][args.text_column][:]) for split in data}
longest = max(len(row) for split in rows.values() for row in split)
labels = {split: pad(rows[split], longest) for split in rows}  # of one shape: compiled once
if args.push:  # a wrong name or a missing token ends the program now, not after the training
    try:
        HfApi().create_repo(args.push, exist_ok=True)
    except Exception as error:
        stop(f"--push: no repo {args.push} can be created", error)
print(", ".join(f"{split}: {len(data[split])} images" for split in data), flush=True)

# %% [markdown]
# ## Training step
#
# The decoder's input is the labels, shifted right by one token. The gradients of all parts of a
# batch are added, and divided by the number of tokens. So the step is the same with any number of
# parts.

# %%
steps_per_epoch = max(1, len(data["train"]) // args.batch_size)
num_steps = args.epochs * steps_per_epoch
schedule = optax.warmup_cosine_decay_schedule(0, args.learning_rate, num_steps // 20, num_steps)
optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.01))


def sum_losses(params: Any, pixels: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
    """Return the sum of the losses of all tokens that are not padding."""
    is_token = labels != -100
    targets = jnp.where(is_token, labels, tokenizer.eos_token_id)
    start = jnp.full((len(labels), 1), model.config.decoder_start_token_id)
    inputs = jnp.concatenate([start, targets[:, :-1]], axis=1)
    logits = model(pixels, inputs, params=params, train=True, dropout_rng=key).logits
    losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), targets)
    total: jax.Array = (losses * is_token).sum()
    return total


@partial(jax.jit, donate_argnames="state")  # the new state takes the memory of the old one
def train_step(state: Any, pixels: jax.Array, labels: jax.Array, key: jax.Array) -> Any:
    """Return the state after one batch, and the mean loss of its tokens."""
    params = state["params"]

    def add_part(sums: Any, part: Any) -> Any:
        return jax.tree.map(jnp.add, sums, jax.value_and_grad(sum_losses)(params, *part)), None

    parts = jax.tree.map(
        lambda array: array.reshape(args.accumulate, -1, *array.shape[1:]), (pixels, labels)
    )
    nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
    (loss, gradients), _ = jax.lax.scan(
        add_part, nothing, (*parts, jax.random.split(key, args.accumulate))
    )
    num_tokens = (labels != -100).sum()
    gradients = jax.tree.map(lambda gradient: gradient / num_tokens, gradients)
    updates, optimizer_state = optimizer.update(gradients, state["optimizer"], params)
    state = {"params": optax.apply_updates(params, updates), "optimizer": optimizer_state}
    return state, loss / num_tokens


# %% [markdown]
# ## Evaluation
#
# The model writes a text for each image. The share of exact texts is the result. Their similarity
# to the texts of the dataset decides when to stop: it rises earlier.


# %%
def batches(split: Dataset, order: np.ndarray) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield row numbers, int (batch,), and pixels. A short batch at the end is filled up."""
    for first in range(0, len(order), args.batch_size):
        rows = np.resize(order[first : first + args.batch_size], args.batch_size)
        yield rows, read_images(split[rows.tolist()]["image"])


def read_tokens(tokens: Any) -> list[str]:
    """Return the texts of tokens, where -100 is padding."""
    tokens = np.where(np.asarray(tokens) == -100, tokenizer.eos_token_id, tokens)
    return [
        text.strip() for text in tokenizer.batch_decode(tokens.tolist(), skip_special_tokens=True)
    ]


def generate_texts(params: Any, split: str) -> list[str]:
    """Return the texts that the model writes for all images of a split."""
    texts: list[str] = []
    for _, pixels in batches(data[split], np.arange(len(data[split]))):
        generated = model.generate(pixels, params=params, max_new_tokens=longest)
        texts += read_tokens(generated.sequences)
    return texts[: len(data[split])]


def measure(texts: list[str], expected: list[str]) -> dict[str, float]:
    """Return the share of exact texts, and the mean similarity of texts, from 0 to 1."""
    pairs = list(zip(texts, expected, strict=True))
    ratios = [SequenceMatcher(None, *pair, autojunk=False).ratio() for pair in pairs]
    exact = [text == other for text, other in pairs]
    return {"exact": float(np.mean(exact)), "similarity": float(np.mean(ratios))}


# %% [markdown]
# ## Training
#
# After each epoch, the program saves its whole state, and the best checkpoint.
# `--resume` continues from that state, with the same result: the order of images and dropout
# depend on the seed and the epoch only.

# %%
save_tokenizer()
image_processor.save_pretrained(output)
state = {"params": model.params, "optimizer": optimizer.init(model.params)}
history: list[dict[str, float]] = []  # one entry for each epoch
if args.resume:
    saved = from_bytes({"state": state, "history": ""}, state_file.read_bytes())
    state, history = saved["state"], json.loads(saved["history"])


def train_epoch(epoch: int) -> float:
    """Train on all images once, and return the mean loss."""
    global state
    order = np.random.default_rng((args.seed, epoch)).permutation(len(data["train"]))
    key = jax.random.fold_in(jax.random.key(args.seed), epoch)
    losses = []
    order = order[: steps_per_epoch * args.batch_size]
    for step, (rows, pixels) in enumerate(batches(data["train"], order)):
        step_key = jax.random.fold_in(key, step)
        state, loss = train_step(state, pixels, labels["train"][rows], step_key)
        losses.append(loss)  # reading the number here would wait for the device
    return float(np.mean(losses))


def best_epoch() -> int:
    """Return the first epoch with the highest similarity; -1 before the first one."""
    scores = [entry["similarity"] for entry in history]
    return scores.index(max(scores)) if scores else -1


started = time.monotonic()
while len(history) < args.epochs and len(history) - 1 - best_epoch() < args.patience:
    loss = train_epoch(len(history))
    texts = generate_texts(state["params"], "validation")
    scores = measure(texts, read_tokens(labels["validation"]))
    history.append({"loss": loss, **scores})
    print(
        f"epoch {len(history)}: loss {loss:.4f}, {scores['exact']:.1%} exact texts, "
        f"similarity {scores['similarity']:.3f}, "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )
    if best_epoch() == len(history) - 1:
        model.save_pretrained(output, state["params"], safe_serialization=True)
    content = to_bytes({"state": state, "history": json.dumps(history)})
    state_file.with_suffix(".new").write_bytes(content)
    state_file.with_suffix(".new").replace(state_file)  # an interrupt leaves a whole file

# %% [markdown]
# ## Result
#
# The score on the test split is the one to report: validation images have chosen the epoch.

# %%
model = FlaxVisionEncoderDecoderModel.from_pretrained(output, dtype=model.dtype)
texts, expected_texts = generate_texts(model.params, "test"), read_tokens(labels["test"])
test_scores = measure(texts, expected_texts)
print(
    f"test: {test_scores['exact']:.1%} exact texts with the parameters of epoch {best_epoch() + 1}"
)
for text, expected in list(zip(texts, expected_texts, strict=True))[:5]:
    print(f"  {text!r} for {expected!r}")


# %%
def write_card(repo: str) -> None:
    """Write README.md. It names the checkpoint of VED, whose license and language stay valid."""
    metadata: dict[str, Any] = {}
    if not Path(args.checkpoint).exists():
        base = ModelCard.load(args.checkpoint).data.to_dict()
        names = ("license", "license_name", "license_link", "language")
        metadata = {name: base[name] for name in names if name in base}
        metadata["base_model"] = args.checkpoint
    is_repo = not Path(args.dataset).exists()
    name = args.dataset if is_repo else Path(args.dataset).name
    result = EvalResult("image-to-text", name, name, "exact_match", round(test_scores["exact"], 4))
    metadata |= {
        "datasets": [args.dataset] if is_repo else None,
        "eval_results": [result],
        "library_name": "transformers",
        "model_name": repo.split("/")[-1],
        "pipeline_tag": "image-to-text",
    }
    text = f"""# {repo.split("/")[-1]}

This model writes the text of an image. It is {args.checkpoint}, fine-tuned on {name}. It writes
the exact text of {test_scores["exact"]:.1%} of the images of the test split.

```python
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel

model = VisionEncoderDecoderModel.from_pretrained("{repo}")
image_processor = AutoImageProcessor.from_pretrained("{repo}")
tokenizer = AutoTokenizer.from_pretrained("{repo}")
image = Image.open("image.png").convert("RGB")
pixels = image_processor(image, return_tensors="pt").pixel_values
tokens = model.generate(pixel_values=pixels, max_new_tokens={longest})
print(tokenizer.batch_decode(tokens, skip_special_tokens=True))
```

In Flax, `ved.modeling.FlaxVisionEncoderDecoderModel` loads it.
"""
    ModelCard(f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n\n{text}").save(
        output / "README.md"
    )


if args.push:
    write_card(args.push)
    api = HfApi()
    api.upload_folder(
        repo_id=args.push,
        folder_path=output,
        ignore_patterns=["state.*"],
        commit_message="Fine-tune",
    )
    print(f"Published: {api.endpoint}/{args.push}")

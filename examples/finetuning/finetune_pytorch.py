"""Fine-tune a checkpoint of VED in PyTorch, on a dataset of images and texts."""

# %% [markdown]
# # Fine-tune a checkpoint of VED in PyTorch
#
# A checkpoint that VED has built joins a pretrained vision encoder and a pretrained text decoder.
# It writes noise until it is trained. This program trains it on images with texts, and publishes
# the result.
#
# The program is a script and a notebook. Fine-tuning explains it:
# https://github.com/ved-action/ved/blob/main/docs/fine-tuning.md

# %% tags=["install"]
# %pip install --quiet torch "transformers>=5" accelerate datasets pillow

# %%
import argparse
import json
import sys
from difflib import SequenceMatcher
from pathlib import Path
from textwrap import shorten
from typing import Any, NoReturn

import numpy as np
import torch
from datasets import Dataset, DatasetDict, Image, load_dataset
from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    EarlyStoppingCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    VisionEncoderDecoderModel,
    set_seed,
)

# %% [markdown]
# ## Arguments
#
# In the notebook, write your own checkpoint, dataset and directory into `arguments`, and options.
#
# With GPUs, `--bf16` halves the time. `--accumulate` splits each batch into parts, if the memory
# is too small for a whole one.

# %% tags=["arguments"]
parser = argparse.ArgumentParser(description="Fine-tune a checkpoint of VED in PyTorch.")
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


states = output / "states"
whole = [path.parent for path in states.glob("checkpoint-*/trainer_state.json")]  # written last
start = max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)
check_arguments()
check_state(start is not None)
set_seed(args.seed)

# %% [markdown]
# ## Model
#
# The class takes any argument, so the trainer believes that its loss accounts for accumulated
# gradients. It does not: without `accepts_loss_kwargs = False`, two parts of a batch would double
# the gradients.

# %%
try:
    config = AutoConfig.from_pretrained(args.checkpoint)
    if config.model_type != "vision-encoder-decoder":
        raise ValueError(f"it is a {config.model_type}, and no pair; build one with VED")
    model = VisionEncoderDecoderModel.from_pretrained(start or args.checkpoint, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(args.checkpoint)
    image_processor = AutoImageProcessor.from_pretrained(args.checkpoint)
except Exception as error:  # libraries raise many types for a damaged or missing file
    stop(f"{args.checkpoint} cannot be loaded as a checkpoint of VED", error)
model.accepts_loss_kwargs = False
if args.image_size:  # for encoders that interpolate their position embeddings, such as DINOv2
    size = dict(zip(("height", "width"), args.image_size, strict=True))
    image_processor.size = size
    image_processor.do_center_crop = False
    try:
        model.encoder(torch.zeros(1, 3, *args.image_size))
    except Exception as error:
        stop("--image-size: choose another, because the encoder refuses this one", error)

# %% [markdown]
# ## Data
#
# A directory has a subdirectory for each split, with images and a `metadata.jsonl`. A line of
# that file is `{"file_name": "1.png", "text": "a handwritten seven"}`.
#
# Labels are the tokens of a text and the end token. Padding is -100, because the pad token of
# many decoders is the end token, which the model has to learn. The model shifts the labels to get
# the decoder's input, so nobody else may.


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


def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Return a batch: pixels (images, channels, height, width) and labels (images, tokens)."""
    images = [example["image"].convert("RGB") for example in examples]
    rows = read_labels([example[args.text_column] for example in examples])
    longest = max(map(len, rows))
    return {
        "pixel_values": image_processor(images, return_tensors="pt").pixel_values,
        "labels": torch.tensor([[*row, *[-100] * (longest - len(row))] for row in rows]),
    }


data = load_splits(args.dataset)
longest = max(
    len(row) for split in data.values() for row in read_labels(split[args.text_column][:])
)
if args.push:  # a wrong name or a missing token ends the program now, not after the training
    try:
        HfApi().create_repo(args.push, exist_ok=True)
    except Exception as error:
        stop(f"--push: no repo {args.push} can be created", error)
print(", ".join(f"{split}: {len(data[split])} images" for split in data), flush=True)

# %% [markdown]
# ## Evaluation
#
# The model writes a text for each image. The share of exact texts is the result. Their similarity
# to the texts of the dataset decides when to stop: it rises earlier.


# %%
def read_tokens(tokens: Any) -> list[str]:
    """Return the texts of tokens, where -100 is padding."""
    tokens = np.where(np.asarray(tokens) == -100, tokenizer.eos_token_id, tokens)
    return [
        text.strip() for text in tokenizer.batch_decode(tokens.tolist(), skip_special_tokens=True)
    ]


def measure(texts: list[str], expected: list[str]) -> dict[str, float]:
    """Return the share of exact texts, and the mean similarity of texts, from 0 to 1."""
    pairs = list(zip(texts, expected, strict=True))
    ratios = [SequenceMatcher(None, *pair, autojunk=False).ratio() for pair in pairs]
    exact = [text == other for text, other in pairs]
    return {"exact": float(np.mean(exact)), "similarity": float(np.mean(ratios))}


def compute_metrics(result: Any) -> dict[str, float]:
    """Return the scores of the trainer's predictions."""
    return measure(read_tokens(result.predictions), read_tokens(result.label_ids))


# %% [markdown]
# ## Training
#
# After each epoch, the trainer saves its whole state. `--resume` continues from the last one,
# with the same result.

# %%
training = Seq2SeqTrainingArguments(
    output_dir=str(states),
    num_train_epochs=args.epochs,
    per_device_train_batch_size=args.batch_size // args.accumulate,
    per_device_eval_batch_size=args.batch_size,
    gradient_accumulation_steps=args.accumulate,
    learning_rate=args.learning_rate,
    lr_scheduler_type="cosine",
    warmup_steps=0.05,  # a share of all steps
    weight_decay=0.01,
    max_grad_norm=1.0,
    bf16=args.bf16,
    seed=args.seed,
    eval_strategy="epoch",
    logging_strategy="epoch",
    save_strategy="epoch",
    save_total_limit=2,
    load_best_model_at_end=True,
    metric_for_best_model="similarity",
    greater_is_better=True,
    predict_with_generate=True,
    generation_max_length=longest + 1,  # with the start token
    remove_unused_columns=False,  # `collate` reads the images
    dataloader_pin_memory=torch.cuda.is_available(),
    report_to="none",
)
trainer = Seq2SeqTrainer(
    model,
    training,
    data_collator=collate,
    train_dataset=data["train"],
    eval_dataset=data["validation"],
    compute_metrics=compute_metrics,
    callbacks=[EarlyStoppingCallback(args.patience)],
)
trainer.train(resume_from_checkpoint=start)

# %% [markdown]
# ## Result
#
# The score on the test split is the one to report: validation images have chosen the epoch.

# %%
# The trainer itself reads files only by the names of modules. ViT and others have new names in
# transformers 5, and their files have the old ones: it would leave those parameters as they are.
best = VisionEncoderDecoderModel.from_pretrained(trainer.state.best_model_checkpoint)
trainer.model.load_state_dict(best.state_dict())
trainer.model.save_pretrained(output)
save_tokenizer()
image_processor.save_pretrained(output)
result = trainer.predict(data["test"])
test_scores = {name: result.metrics[f"test_{name}"] for name in ("exact", "similarity")}
print(f"test: {test_scores['exact']:.1%} exact texts with the best parameters")
pairs = zip(read_tokens(result.predictions), read_tokens(result.label_ids), strict=True)
for text, expected in list(pairs)[:5]:
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
        ignore_patterns=["state*"],
        commit_message="Fine-tune",
    )
    print(f"Published: {api.endpoint}/{args.push}")

"""The code on a model card, which runs as it is and prints its result.

The functions return Python without Markdown fences. The templates are in `templates/`. Each
snippet fits one checkpoint and has no branches for others.
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ved.families.lookup import find_family
from ved.markdown import code_span
from ved.record.build_record import BuildRecord
from ved.text import shorten

NEW_TOKENS = 16
"""The length of the texts that the code generates, in tokens, without the start token."""


def flax_snippet(record: BuildRecord, *, with_words: bool = True) -> str:
    """Return code that loads a checkpoint in Flax and generates text for an image.

    Args:
        record: the build record of the checkpoint.
        with_words: whether the tokenizer can also divide texts into words, as on the card. The
            code itself only decodes, and VED runs it without the packages for words.
    """
    arguments = "" if with_words or not needs_mecab(record) else ", do_word_tokenize=False"
    return _rendered("flax", record, tokenizer_arguments=arguments)


def flax_training_snippet(record: BuildRecord) -> str:
    """Return code that trains a checkpoint in Flax for ten steps."""
    return _rendered("flax_training", record)


def pytorch_snippet(record: BuildRecord) -> str:
    """Return code that loads a checkpoint in PyTorch and generates text for an image.

    The checkpoint must have weights for PyTorch; see `has_pytorch`.
    """
    return _rendered("pytorch", record)


def pytorch_training_snippet(record: BuildRecord) -> str:
    """Return code that trains a checkpoint in PyTorch for ten steps; see `pytorch_snippet`."""
    return _rendered("pytorch_training", record)


def has_pytorch(record: BuildRecord) -> bool:
    """Tell whether PyTorch can read a checkpoint."""
    return "safetensors" in record.weights


def needs_mecab(record: BuildRecord) -> bool:
    """Tell whether the tokenizer needs MeCab, which VED does not have, to encode texts."""
    return "fugashi" in (record.packages or ())


_MAX_NAME = 200
"""The most characters of a name on a card."""


@cache
def environment() -> Environment:
    """Return the Jinja environment of the card's templates."""
    # The card is Markdown, not HTML, so Jinja must not escape; the filter `code` does.
    environment = Environment(  # noqa: S701
        loader=PackageLoader("ved.record"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = _code
    return environment


def _rendered(name: str, record: BuildRecord, **more: str) -> str:
    assert record.pair is not None
    decoder = find_family("decoder", record.sources["decoder"].published_family, "decoder")
    return (
        environment()
        .get_template(f"{name}.py.jinja")
        .render(
            repo=record.pair.repo,
            new_tokens=NEW_TOKENS,
            is_float32=record.dtypes == {"float32"},
            begins_with_eos=decoder.begins_with_eos,
            **more,
        )
    )


def _code(text: str) -> str:
    """Return a name as a code span; a source may have names of any length."""
    return code_span(shorten(text, _MAX_NAME))

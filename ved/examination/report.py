"""Requests to the examining process and its answers, as plain data.

Both are JSON. The process that asks does not trust the other one: it validates each answer, whose
length is bounded, and texts become one line of printable characters.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, Strict, TypeAdapter

from ved.assembly.prepared import PreparedSource
from ved.assembly.processing_files import ImageProcessorFiles, TokenizerFiles
from ved.errors import ErrorCode, VedError
from ved.families.family import Role
from ved.families.lookup import find_family, find_twin
from ved.sources import CONFIG, PROCESSING_FILES, Pinned, ResolvedSource, Snapshot, Source

ANSWER_BYTES = 64 * 2**20
"""The longest answer, in bytes."""

MAX_TEXT = 4000
"""The longest text in an answer, in characters."""


def one_line(text: str) -> str:
    """Return a text without characters that are not printable, and not longer than `MAX_TEXT`."""
    line = "".join(each if each.isprintable() else " " for each in text[: MAX_TEXT + 1])
    return line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 1]}…"


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(one_line)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Code = Annotated[ErrorCode, Strict(strict=False)]


class _Plain(BaseModel):
    """Plain data that does not change."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


Steps = Literal["all", "files", "trials"]
"""The steps of an examination. "files" reads the files, and "trials" tries them with transformers.

An assembly loads the config and traces the model itself. The trials run beside it.
"""


class SnapshotName(_Plain):
    """The name of a snapshot; see `ved.sources.Snapshot`."""

    name: str
    commit: str | None
    directory: str | None

    @classmethod
    def of(cls, snapshot: Snapshot) -> "SnapshotName":
        """Return the name of a snapshot."""
        directory = None if snapshot.directory is None else str(snapshot.directory)
        return cls(name=snapshot.name, commit=snapshot.commit, directory=directory)

    def snapshot(self, files: Mapping[str, int]) -> Snapshot:
        """Return a snapshot of this name."""
        directory = None if self.directory is None else Path(self.directory)
        return Snapshot(self.name, self.commit, files, directory)


class Request(_Plain):
    """A source to examine.

    Attributes:
        role: whether it is an encoder or a decoder.
        snapshot: its name.
        config_snapshot: the name of the origin of its config.
        family: `model_type` of its config, before that of a twin took its place.
        is_twin: whether the checkpoint has that of a twin.
        whole: the `model_type` of the whole model of which it is a half; empty if it is none.
        weights: the names of its weight files, in order.
        processing: the names of the files of its image processor or tokenizer.
        config: the content of its config.json.
        steps: what the examination does; see `Steps`.
        vocab_size: how many rows the embedding of a decoder has, for trials alone.
    """

    role: Role
    snapshot: SnapshotName
    config_snapshot: SnapshotName
    family: str
    is_twin: bool = False
    whole: str = ""
    weights: list[str]
    processing: list[str]
    config: dict[str, JsonValue]
    steps: Steps = "all"
    vocab_size: int = 0

    @classmethod
    def of(cls, resolved: ResolvedSource, steps: Steps = "all", vocab_size: int = 0) -> "Request":
        """Return the request to examine a source."""
        return cls(
            steps=steps,
            vocab_size=vocab_size,
            role=resolved.role,
            snapshot=SnapshotName.of(resolved.snapshot),
            config_snapshot=SnapshotName.of(resolved.config_snapshot),
            family=resolved.model_type,
            is_twin=resolved.family.twin is not None,
            whole=resolved.whole,
            weights=[*resolved.weights],
            processing=resolved.processing,
            config=dict(resolved.config),
        )

    def source(self, directory: Path) -> Source:
        """Return the source with the places of its files. There is no config.json among them.

        Args:
            directory: the directory of its weights and its image processor or tokenizer.
        """
        files = dict.fromkeys((*self.weights, *self.processing), 0)
        pinned = Pinned(self.snapshot.snapshot(files), self.config_snapshot.snapshot({}), False)
        family = find_twin(self.role, self.family) if self.is_twin else None
        family = family or find_family(self.role, self.family, self.snapshot.name)
        weights = tuple(self.weights)
        resolved = ResolvedSource(
            self.role, pinned, self.config, family, self.family, weights, self.whole
        )
        return Source(resolved, directory, directory / CONFIG)


class LoadRequest(_Plain):
    """A published checkpoint to load, without its weights.

    Attributes:
        without_words: whether its tokenizer is loaded without MeCab, which VED does not have.
    """

    without_words: bool


AnyRequest: TypeAlias = Request | LoadRequest


def parse_request(content: bytes) -> AnyRequest:
    """Return the request in a file.

    Raises:
        ValidationError: it is malformed.
    """
    adapter: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)
    return adapter.validate_json(content)


class Problem(_Plain):
    """An error of a source; see `VedError`."""

    cause: Text
    remedy: Text
    code: Code

    @classmethod
    def of(cls, error: VedError) -> "Problem":
        """Return an error as plain data."""
        return cls(cause=one_line(error.cause), remedy=one_line(error.remedy), code=error.code)

    def error(self) -> VedError:
        """Return the problem as an error."""
        return VedError(self.cause, self.remedy, code=self.code)


class TiedTensors(_Plain):
    """Two tensors of the same size that a config ties, and that only their numbers tell apart.

    Attributes:
        file: the file of the tensor in use.
        offset: where its elements begin, in bytes from the start of the file.
        other_file: the file of the other tensor.
        other_offset: as `offset`.
        size: the length of each, in bytes.
        warning: what to say if they differ; see `Ledger.difference`.
    """

    file: Text
    offset: Count
    other_file: Text
    other_offset: Count
    size: Count
    warning: Text


class Tensors(_Plain):
    """The parameters that a source gives to a checkpoint, in numbers.

    Attributes:
        copied: how many numbers are copied from the source, by dtype, in the order of the source.
        initialized: how many numbers are newly initialized.
        largest: how many numbers the largest parameter has.
        warnings: unexpected gaps, a sentence each; see `Ledger.warnings`.
        tie_warnings: what the headers show of tied tensors; see `Ledger.tie_warnings`.
        ties: the tied tensors to compare.
    """

    copied: dict[Text, Count]
    initialized: Count
    largest: Count
    warnings: list[Text]
    tie_warnings: list[Text] = []
    ties: Annotated[list[TiedTensors], Field(max_length=8)] = []


def _check_copied(files: TokenizerFiles) -> TokenizerFiles:
    """Check the names of files that are copied into a checkpoint.

    Raises:
        ValueError: one is not a file of a tokenizer, or names could lead to any file.
    """
    if not {*files.copied} <= {*PROCESSING_FILES["decoder"]}:
        raise ValueError("copies other files than those of a tokenizer")
    return files


class Examination(_Plain):
    """Everything that is known of a source from its small files and headers.

    Attributes:
        problems: what is wrong with the source, in the order of the examination.
        config: the settings of its config with all defaults; None if it cannot be read, and if the
            request is for other steps than all.
        tensors: its parameters; None if they cannot be known, and as `config`.
        tokenizer: the tokenizer of a decoder; None if it cannot be used.
        image_processor: the image processor of an encoder; None if it cannot be used.
    """

    problems: list[Problem] = []
    config: dict[str, JsonValue] | None = None
    tensors: Tensors | None = None
    tokenizer: Annotated[TokenizerFiles, AfterValidator(_check_copied)] | None = None
    image_processor: ImageProcessorFiles | None = None

    def prepared(self) -> PreparedSource:
        """Return what assembly needs besides the weights.

        Raises:
            VedError: the source has a problem.
        """
        for problem in self.problems:
            raise problem.error()
        files = self.tokenizer or self.image_processor
        assert self.config is not None, "without a problem there is a config"
        assert files is not None, "without a problem there are files"
        return PreparedSource(self.config, files)

    @property
    def notices(self) -> tuple[str, ...]:
        """What is left out of tokenizer or image processor and somebody could miss."""
        files = self.tokenizer or self.image_processor
        return files.notices if files else ()


class Answer(_Plain):
    """An answer of the examining process.

    Attributes:
        ready: whether it has imported its libraries; only in the first answer.
        examination: the examination, if it came to an end.
        broken: how the source ended it otherwise.
        traceback: the traceback of an error of VED itself.
        retires: whether the process wants to be replaced.
    """

    ready: bool = False
    examination: Examination | None = None
    broken: Text = ""
    traceback: list[Text] = []
    retires: bool = False

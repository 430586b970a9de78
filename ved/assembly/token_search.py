"""Search the ids of the decoder's start, pad and eos tokens.

An id comes from the manifest, else from the files of the decoder, else from its tokenizer. The
table in docs/warm-starting.md has the whole rule. Defaults of transformers' classes do not count:
nobody has chosen an id that no file states.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ved.assembly.special_tokens import (
    TOKEN_NAMES,
    DecoderSettings,
    NamedTokens,
    SpecialTokens,
    TokenId,
    TokenIds,
    TokenRole,
    script_id,
)
from ved.errors import ErrorCode, VedError
from ved.text import join_limited, quoted, quoted_value


@dataclass(frozen=True)
class _Statement:
    """Ids that a file states for one role. Only eos may have more than one."""

    ids: tuple[int, ...]
    origin: str


def resolve_special_tokens(
    wanted: Mapping[str, int], settings: DecoderSettings, tokenizer: NamedTokens, origin: str
) -> SpecialTokens:
    """Return the special tokens of a decoder.

    Args:
        wanted: the ids in the manifest, by role.
        settings: the decoder's settings.
        tokenizer: the decoder's tokenizer.
        origin: the decoder, for errors.

    Raises:
        VedError: an id is missing, outside the vocabulary, unknown to the tokenizer, or that of an
            ordinary token that the manifest does not name. One error has the problems of all three.
    """
    search = _Search(wanted, settings, tokenizer)
    problems: list[str] = []
    warnings: list[str] = []
    found: dict[TokenRole, TokenId] = {}
    for role in TOKEN_NAMES:
        try:
            found[role], reported = search.find(role)
            warnings += reported
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise VedError(
            f"The token ids of {origin} are not usable: {'; '.join(problems)}.",
            "Set them with token_ids: {decoder_start: ..., pad: ..., eos: ...}.",
            code=ErrorCode.TOKEN_IDS,
        )
    bos, reported = search.bos()
    return SpecialTokens(TokenIds(**found), bos, (*warnings, *reported))


@dataclass(frozen=True)
class _Search:
    """The search for the special tokens of one decoder."""

    wanted: Mapping[str, int]
    settings: DecoderSettings
    tokenizer: NamedTokens

    def find(self, role: TokenRole) -> tuple[TokenId, list[str]]:
        """Return the token of a role, and warnings.

        Raises:
            ValueError: there is none that is usable; the text is for the middle of a sentence.
        """
        if role not in self.wanted:
            return self._in_source(role)
        number = self.wanted[role]
        self._check(role, _Statement((number,), "the manifest"))
        warnings = []
        if not self.tokenizer.is_special(number):
            effect = "" if role == "decoder_start" else ": decoded texts will lack it"
            warnings.append(
                f"The manifest sets {role} to {self._describe(number)}, which is an ordinary token "
                f"of the tokenizer{effect}."
            )
        return self._token(role, number, "the manifest"), warnings

    def bos(self) -> tuple[int | None, list[str]]:
        """Return the id of the bos token, or None if none is usable, and warnings."""
        try:
            statements = [*self._statements("bos_token_id")]
        except ValueError as error:  # it is not needed, if something else starts the texts
            return self._named("bos"), [f"The checkpoint ignores an id: {error}."]
        numbers = [self._named("bos"), *(number for each in statements for number in each.ids)]
        usable = (each for each in numbers if each is not None and self._is_special_row(each))
        bos = next(usable, None)
        starts = "decoder_start" in self.wanted or any(self._statements("decoder_start_token_id"))
        others = self._others(bos, statements)
        if not starts or not others:  # without another start token, it is reported as this one
            return bos, []
        has = "no bos token" if bos is None else f"bos {self._describe(bos)}"
        return bos, [f"The checkpoint has {has}, but {' and '.join(others)}."]

    def _in_source(self, role: TokenRole) -> tuple[TokenId, list[str]]:
        """Return the token of a role that the decoder's own files give, and warnings."""
        names = TOKEN_NAMES[role]
        for setting in names.settings:
            statements = [*self._statements(setting)]
            if not statements:
                continue
            self._check(role, statements[0])
            may_be_any = setting != names.settings[-1]
            named = None if may_be_any else self._named(names.named)
            number = self._choose(statements[0], named)
            if number is not None:
                from_file = number in statements[0].ids
                origin = statements[0].origin if from_file else _token_of(names.named)
                token = self._token(role, number, origin)
            else:
                token = self._instead(role, statements[0])
            return token, [*self._disagreements(role, token, statements, compared=not may_be_any)]
        token = self._unstated(role)
        return token, [*self._disagreements(role, token, (), compared=True)]

    def _choose(self, statement: _Statement, named: int | None) -> int | None:
        """Return the id that the tokenizer names, else a special one that a file states."""
        if named is not None:
            return named
        return next((number for number in statement.ids if self._is_special_row(number)), None)

    def _instead(self, role: TokenRole, statement: _Statement) -> TokenId:
        """Return the token to use instead of an ordinary one that a file states.

        Raises:
            ValueError: there is none.
        """
        try:
            return self._unstated(role)
        except ValueError as error:
            raise ValueError(
                f"{role} {self._describe(statement.ids[0])} (from {statement.origin}) is an "
                "ordinary token of the tokenizer, which names no token for this role"
            ) from error

    def _unstated(self, role: TokenRole) -> TokenId:
        """Return the token of a role without what the files state for it.

        Raises:
            ValueError: there is none.
        """
        names = TOKEN_NAMES[role]
        for name in (names.named, names.substitute):
            number = None if name is None else self._named(name)
            if name is not None and number is not None:
                return self._token(role, number, _token_of(name))
        if role == "pad":
            return self._eos_as_pad()
        raise ValueError(
            f"neither the decoder's config nor its tokenizer has the id of the {role} token"
        )

    def _eos_as_pad(self) -> TokenId:
        """Return eos as the pad token: that of the source, else that of the manifest."""
        try:
            eos, _ = self._in_source("eos")
        except ValueError:
            try:
                eos, _ = self.find("eos")
            except ValueError:
                raise ValueError(
                    "neither the decoder's config nor its tokenizer has the id of the pad token"
                ) from None
        origin = "eos of the manifest" if eos.origin == "the manifest" else eos.origin
        return self._token("pad", eos.id, origin)

    def _disagreements(
        self, role: TokenRole, token: TokenId, statements: Sequence[_Statement], *, compared: bool
    ) -> Iterator[str]:
        """Yield what else the files and the tokenizer say of a role.

        Args:
            role: the role.
            token: its token in the checkpoint.
            statements: what the files state.
            compared: whether the tokenizer's own name of the role counts, too.
        """
        others = self._others(token.id, statements)
        name = TOKEN_NAMES[role].named
        number = self.tokenizer.token_ids.get(name, token.id)
        if compared and number != token.id:
            # Only a token without a row in the embedding is not taken.
            others.append(
                f"{_token_of(name)} is {self._describe(number)}, which has no row in the "
                f"embedding of {self.settings.loaded['vocab_size']}"
            )
        if others:
            yield (
                f"The checkpoint has {role} {self._describe(token.id)}, from {token.origin}, but "
                f"{' and '.join(others)}. To use another token, set token_ids: {{{role}: ...}}."
            )

    def _others(self, number: int | None, statements: Sequence[_Statement]) -> list[str]:
        """Return the statements that do not name one id alone, for the middle of a sentence."""
        return [
            f"{each.origin} says {join_limited([*map(self._describe, each.ids)])}"
            for each in statements
            if each.ids != (number,)
        ]

    def _statements(self, setting: str) -> Iterator[_Statement]:
        """Yield what each file states under a name, if it is not null.

        Raises:
            ValueError: a value is not an id.
        """
        is_of_whole = setting in self.settings.of_whole
        second = "the whole model's config" if is_of_whole else "the decoder's generation config"
        files = {
            "the decoder's config": self.settings.config,
            second: self.settings.generation,
        }
        for file, content in files.items():
            value = content.get(setting)
            values = value if isinstance(value, list) and setting == "eos_token_id" else [value]
            origin = f"{setting} of {file}"
            if any(type(each) is not int for each in values if each is not None):
                raise ValueError(f"{origin} is {quoted_value(value)}, not an id")
            ids = tuple(each for each in values if each is not None)
            if ids:
                yield _Statement(ids, origin)
        last = self._named("last")
        is_unstated = all(content.get(setting) is None for content in files.values())
        if setting == "decoder_start_token_id" and is_unstated and last is not None:
            yield _Statement((last,), "the last token of each encoded text")

    def _check(self, role: TokenRole, statement: _Statement) -> None:
        """Refuse a statement without a token of the tokenizer that has a row in the embedding.

        Raises:
            ValueError: it has none.
        """
        if any(self._is_usable(number) for number in statement.ids):
            return
        rows, number = self.settings.loaded["vocab_size"], statement.ids[0]
        is_inside = 0 <= number < rows
        problem = "unknown to the tokenizer" if is_inside else f"outside the vocabulary of {rows}"
        name = TOKEN_NAMES[role].named
        named = self._named(name)
        other = "" if named is None else f", and {_token_of(name)} is {self._describe(named)}"
        raise ValueError(f"{role} {number} (from {statement.origin}) is {problem}{other}")

    def _named(self, name: str) -> int | None:
        """Return the id of a token that the tokenizer names, if the embedding has a row for it."""
        number = self.tokenizer.token_ids.get(name)
        return number if number is not None and self._is_usable(number) else None

    def _is_usable(self, number: int) -> bool:
        """Return whether an id is that of a token with a row in the embedding."""
        has_row = 0 <= number < self.settings.loaded["vocab_size"]
        return has_row and self.tokenizer.token(number) is not None

    def _is_special_row(self, number: int) -> bool:
        return self._is_usable(number) and self.tokenizer.is_special(number)

    def _token(self, role: TokenRole, number: int, origin: str) -> TokenId:
        text = self.tokenizer.token(number)
        assert text is not None, "usable ids have a token"
        return TokenId(number, text, origin, script_id(role, self.settings.loaded))

    def _describe(self, number: int) -> str:
        text = self.tokenizer.token(number)
        return f"{number}" if text is None else f"{number} ({quoted(text)})"


def _token_of(name: str) -> str:
    return f"{name}_token of the tokenizer"

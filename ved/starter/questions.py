"""Ask for what a new repository needs, in a terminal."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from ved.errors import ErrorCode, RequestError
from ved.starter.files import Choices, wrong_choice

_QUESTIONS = {
    "namespace": "Your user or organization on the Hugging Face Hub",
    "encoder": "Vision encoder",
    "decoder": "Text decoder",
    "repo": "Name of the new repo",
}


@dataclass(frozen=True)
class Terminal:
    """A person who answers questions.

    Attributes:
        read: returns the next line, with its end; empty if there are no more.
        show: displays a text as it is.
    """

    read: Callable[[], str]
    show: Callable[[str], None]

    def ask(self, question: str) -> str:
        """Return the answer to a question.

        Raises:
            RequestError: there are no more answers.
        """
        self.show(question)
        line = self.read()
        if not line:
            self.show("\n")
            raise RequestError(
                "A question has no answer, so nothing was written.",
                "Answer it, or give the options; ved init --help lists them.",
                code=ErrorCode.WRONG_INPUT,
            )
        return line.strip()


def ask(choices: Choices, needed: Collection[str], terminal: Terminal) -> Choices:
    """Return choices with an answer for each needed one. An empty answer keeps the default.

    Args:
        choices: what is known, and the defaults.
        needed: the names of the choices to ask for.
        terminal: who answers.

    Raises:
        RequestError: there are no more answers.
    """
    for name, question in _QUESTIONS.items():
        if name in needed:
            choices = _ask(choices, name, question, terminal)
    if "keyless" in needed:
        answer = terminal.ask("Publish with a token, as the secret HF_TOKEN on GitHub? [Y/n] ")
        choices = replace(choices, keyless=answer[:1] in ("n", "N"))
    return choices


def _ask(choices: Choices, name: str, question: str, terminal: Terminal) -> Choices:
    default = choices.repo_name if name == "repo" else getattr(choices, name)
    while True:
        answer = terminal.ask(f"{question} [{default}]: " if default else f"{question}: ")
        if not answer and not default:
            continue
        changed = choices.with_text(name, answer or default)
        problem = wrong_choice(changed)
        if problem is None:
            return changed
        terminal.show(f"  {problem}\n")

"""Wording: words and sentence patterns that VED does not use, and the length of sentences."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.messages import PATH as MESSAGES
from tests.support.reading import paragraphs, reading_grade

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "UPGRADING.md")),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("examples/*/*.md"),
    ]
)
FILES = sorted(
    [
        *PAGES,
        *(ROOT / name for name in ("action.yml", "Dockerfile", "Makefile", "entrypoint.py")),
        *ROOT.glob("ved/**/*.py"),
        *ROOT.glob("ved/**/*.jinja"),
        *ROOT.glob("docs/*.py"),
        *ROOT.glob("examples/**/*.py"),
        *ROOT.glob("examples/**/*.yml"),
        *ROOT.glob(".github/**/*.yml"),
    ]
)
MOST_WORDS = 25
# Today's highest are 4.7 for a page, and 3.1 for the messages together.
MOST_GRADE = 5.0
MOST_GRADE_OF_MESSAGES = 3.5

# A pattern for each word or phrase, and the words to use instead. Case does not count.
REPLACEMENTS = {
    # Private metaphors
    r"\b(held|holds?|holding) (\w+ )?against\b": "compared with, checked against",
    r"\bturned\b": "transposed",
    r"(?<!by )\bhands\b": "thread pool, workers",
    r"\bhand(s|ed|ing)? (it |them |him )?(on|over|out)\b": "pass",
    r"heed": "handle a signal",
    r"\btold\b": "reported, interrupted",
    r"\blook(s|ed|ing)? (at|into|for|after)\b|\b_?look(s|ed)?\b(?= *[=(])": "inspect, check, find",
    r"\b(in|own|other|hub's|card's|library's) words\b|\bwords of (a|the) card\b": "text, digest",
    r"(?<!not )\bstated\b|\bsaid\b": "metadata; state, report",
    r"\banew\b|\bonce more\b": "again, re-",
    r"\b(breaks?|broke|broken|breaking) off\b": "is truncated",
    r"\bshown\b(?! (above|below))": "public; displayed",
    r"\bhidden\b(?! (states?|size|layers?|units?))": "private; masked",
    r"\bill\b": "unavailable",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\botherwise than\b": "differently from",
    r"\btroubles?\b|\bsee=|\.see\b": "error code",
    r"\bfresh(ly)?\b": "newly initialized; new",
    r"\bbeyond\b": "outside",
    r"\binterchanged\b": "swapped",
    r"\bmade\b": "created, built",
    r"\b(deal|deals|dealt|dealing)\b": "distribute",
    r"\bstand-?ins?\b": "placeholder, sample",
    r"\bpatient(ly)?\b(?! and)": "retry",
    r"\bput(s|ting)? right\b": "correct",
    r"\b(can|could|may|to|does?|do) do without\b": "does not need",
    r"\bas (it|the manifest|the hub) (has it|should be|says)\b": "up to date; as in the manifest",
    r"\bnobody foresaw\b|\bunforeseen\b": "unexpected",
    r"\bcircumstances\b": "context",
    r"\bin the place of\b": "instead of; replace",
    r"\b(likewise|whichever|therein|thereof|hereafter)\b": "the usual word",
    # Clauses as nouns, and sentences that begin with a relative
    r"\b(what|who) is there\b|\bthose that are so\b|\bwho waits\b": "the noun: the existing files",
    r"(^|[.!:] |\"\"\"|# )(?-i:Of|Where|What|Who|Whoever) (?!is |are |did |does |do |to )[a-z]": (
        "a sentence with the subject first"
    ),
    r"(?<!there )\b(is|are|was|were) no (?!longer\b|more\b|less\b)": "is not a",
    # British spelling
    r"\blicences?\b": "license",
    r"(organ|initial|recogn|normal|serial|optim|summar|special|custom)is(e|ed|es|ing|ations?)\b": (
        "-ize"
    ),
    r"colour": "color",
    r"behaviour|favour|neighbour|honour": "-or",
    r"\bartefacts?\b": "artifact",
    r"\bcentres?\b": "center",
    r"\b(learnt|spelt|misspelt|whilst|grey|catalogue)\b": "learned, spelled, while, gray, catalog",
}


def findings(path: Path) -> Iterator[str]:
    """Yield `file:line: text: replacement` for each use of a word that VED does not use."""
    text = path.read_text("utf-8")
    if path.suffix in (".md", ".jinja"):
        # Headings and cells of tables may begin with any word: What is built.
        text = re.sub(r"^(#+ |\| )", "- ", text, flags=re.MULTILINE)
    for pattern, replacement in REPLACEMENTS.items():
        for match in re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path}:{line}: {match[0].strip()!r}: {replacement}"


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text without code blocks; code in a line is one word."""
    for paragraph in paragraphs(text):
        for sentence in re.split(r"(?<=[.!?])\s+", paragraph):
            if {*sentence.split()} - {"code", ","}:  # a list of names is not a sentence
                yield sentence


def test_files_use_plain_words() -> None:
    found = [finding for path in FILES for finding in findings(path)]
    assert not found, "\n".join(["words that VED does not use:", *found])


def test_pages_have_short_sentences() -> None:
    found = [each for path in PAGES for each in sentences(path.read_text("utf-8"))]
    assert [each for each in found if len(each.split()) > MOST_WORDS] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_are_easy_to_read(path: Path) -> None:
    assert reading_grade(paragraphs(path.read_text("utf-8"))) <= MOST_GRADE


def test_messages_are_easy_to_read() -> None:
    templates = [line.split(": ", 2)[2] for line in MESSAGES.read_text("utf-8").splitlines()]
    # Parts in braces are code, and may contain braces themselves.
    texts = [re.sub(r"\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "code", each) for each in templates]
    assert reading_grade(texts) <= MOST_GRADE_OF_MESSAGES


def test_reading_grade_is_that_of_the_formula() -> None:
    easy = "The cat sat on the mat. It was glad to be there."
    hard = (
        "Notwithstanding considerable methodological deliberation, interoperability deteriorated."
    )
    # 12 words, 2 sentences, 12 syllables
    assert reading_grade([easy]) == pytest.approx(0.39 * 6 + 11.8 - 15.59)
    assert reading_grade([hard]) > 20 > MOST_GRADE > reading_grade([easy])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He heeds it anew.", ["again, re-", "handle a signal"]),
        ("Run it by hand. The hidden_states, not stated.", []),
        ("The licence\nis no licence.", ["is not a", "license", "license"]),
        ("# What is built\n\nBuild it.", []),
    ],
)
def test_findings_name_replacements(text: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(text)
    found = findings(tmp_path / "page.md")
    assert sorted(each.rpartition(": ")[2] for each in found) == expected


def test_action_has_short_sentences() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    described = [action, *action["inputs"].values(), *action["outputs"].values()]
    found = [each for item in described for each in sentences(item["description"])]
    assert [each for each in found if len(each.split()) > MOST_WORDS] == []

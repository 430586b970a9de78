"""Lines of text with which tokenizers could differ: a thousand for all faults, or half of them."""

import inspect
import random
import string
import textwrap
import unicodedata

from tests.support.faults import ALL_FAULTS
from tests.support.tokenizers import JAPANESE_TEXTS, TEXTS
from ved.localhub.samples.vocabularies import SENTENCES

_SIZE = 1000 if ALL_FAULTS else 500

_SPECIAL = (
    *("<s>", "</s>", "<pad>", "<unk>", "<mask>", "<|endoftext|>", "<extra_0>"),
    *("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"),
)
_SPACES = (" ", "  ", "\t", "\u00a0", "\u3000", "\u200b", "\u200d", "\u00ad", "\r\n")
_BLOCKS = {
    "accents": (0x00C0, 0x024F),
    "combining accents": (0x0300, 0x036F),
    "Greek and Cyrillic": (0x0370, 0x04FF),
    "Arabic": (0x0621, 0x064A),
    "Devanagari": (0x0904, 0x0939),
    "Hangul": (0xAC00, 0xD7A3),
    "kana": (0x3041, 0x30FF),
    "CJK": (0x4E00, 0x9FFF),
    "rare CJK": (0x20000, 0x2A6D6),
    "other forms": (0xFB00, 0xFFEF),
    "emoji": (0x1F300, 0x1FAFF),
    "symbols": (0x2000, 0x2BFF),
}


def lines() -> list[str]:
    """Return English, code, words of other scripts, emoji and special tokens, always the same."""
    generator = random.Random(0)
    found = [*TEXTS, *JAPANESE_TEXTS, *SENTENCES.splitlines()]
    found += inspect.getsource(textwrap).splitlines()[:200]
    words = [word for line in found for word in line.split()]
    words += [_word(generator, *block) for block in _BLOCKS.values() for _ in range(30)]
    while len(found) < _SIZE:
        line = generator.choices(words, k=generator.randrange(1, 12))
        if generator.random() < 0.3:
            line.insert(generator.randrange(len(line) + 1), generator.choice(_SPECIAL))
        if generator.random() < 0.3:
            line = [unicodedata.normalize("NFD", word) for word in line]
        if generator.random() < 0.2:
            line.append("".join(generator.choices(string.punctuation + string.digits, k=8)))
        found.append("".join(word + _space(generator) for word in line))
    return found


def _word(generator: random.Random, low: int, high: int) -> str:
    characters = [chr(generator.randint(low, high)) for _ in range(12)]
    assigned = [each for each in characters if unicodedata.category(each) not in ("Cn", "Cs")]
    return "".join(assigned[: generator.randrange(1, 7)])


def _space(generator: random.Random) -> str:
    return " " if generator.random() < 0.8 else generator.choice((*_SPACES, ""))

"""Dictionaries for MeCab, of a few words, as packages of the names that transformers imports.

The real packages have 50 to 250 MB. fugashi is the real one.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import fugashi  # type: ignore[import-untyped]

WORDS = {
    # Each divides 東京都 and 走っている in its own way.
    "unidic_lite": (
        "東京",
        "都",
        "走っ",
        "て",
        "いる",
        "で",
        "は",
        "が",
        "犬",
        "の",
        "公園",
        "。",
        "です",
    ),
    "ipadic": ("東京都", "走って", "いる", "では", "が", "犬", "の", "公園", "。", "です"),
    "unidic": (
        "東",
        "京都",
        "走",
        "って",
        "いる",
        "で",
        "は",
        "が",
        "犬",
        "の",
        "公園",
        "。",
        "です",
    ),
}
"""The words of each dictionary."""

_FILES = {
    "dicrc": "cost-factor = 800\nbos-feature = BOS/EOS,*\neval-size = 1\nunk-eval-size = 1\n",
    "mecabrc": "; nothing\n",
    "matrix.def": "1 1\n0 0 0\n",
    "char.def": "DEFAULT 0 1 0\nSPACE 0 1 0\nALPHA 1 1 0\n"
    "0x0020 SPACE\n0x0041..0x005A ALPHA\n0x0061..0x007A ALPHA\n",
    "unk.def": "DEFAULT,0,0,9000,unknown\nSPACE,0,0,9000,space\nALPHA,0,0,9000,letters\n",
    "pos-id.def": "",
    "rewrite.def": "".join(
        f"[{each} rewrite]\n*,* $1,$2\n" for each in ("unigram", "left", "right")
    ),
    "feature.def": "",
    "left-id.def": "0 BOS/EOS,*\n",
    "right-id.def": "0 BOS/EOS,*\n",
}

_BUILD = "import sys, fugashi; fugashi.build_dictionary(sys.argv[1])"


def write_packages(directory: Path) -> Path:
    """Write the packages of dictionaries, and link fugashi, for other environments."""
    write_dictionaries(directory)
    for name in ("fugashi", "fugashi.libs"):
        (directory / name).symlink_to(Path(fugashi.__file__).parents[1] / name)
    return directory


def write_dictionaries(directory: Path, names: Iterable[str] = WORDS) -> Path:
    """Write the packages of dictionaries, and return the directory to import them from."""
    for name in names:
        package = directory / name
        package.mkdir(parents=True)
        source = "import os\nDICDIR = os.path.dirname(__file__)\n"
        (package / "__init__.py").write_text(source)
        for file, content in _FILES.items():
            (package / file).write_text(content)
        lexicon = "".join(f"{word},0,0,{-100 * len(word)},word\n" for word in WORDS[name])
        (package / "lexicon.csv").write_text(lexicon)
        # MeCab prints its progress, and may end the process.
        command = f"build -d {package} -o {package} -f utf8 -t utf8"
        subprocess.run([sys.executable, "-c", _BUILD, command], check=True, capture_output=True)
    return directory

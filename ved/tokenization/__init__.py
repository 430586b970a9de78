"""Tokenizers as their own classes in transformers 4.57 set them up, without those classes.

transformers 5 sets up a class by its family, whatever tokenizer.json says: it drops the normalizer
of XLM-RoBERTa, and all words of XGLM's sentencepiece model. So VED uses the library `tokenizers`.
"""

from ved.tokenization.classes import CLASSES, TokenizerClass
from ved.tokenization.loading import LoadedTokenizer, load_tokenizer

__all__ = ["CLASSES", "LoadedTokenizer", "TokenizerClass", "load_tokenizer"]

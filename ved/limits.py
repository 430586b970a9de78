"""Limits of what VED reads from sources.

A source is untrusted: a small file can ask for years of work or for more memory than a machine has.
Each limit is far above every known checkpoint of the supported families, and low enough that the
work up to it takes seconds and some hundred megabytes. VED checks the limits before the work.
"""

from collections.abc import Mapping

# Files

FILE_BYTES: Mapping[str, int] = {
    "config.json": 4 * 2**20,  # labels of ImageNet-21k, both ways: 2 MB
    "preprocessor_config.json": 2**20,
    "processor_config.json": 4 * 2**20,
    "tokenizer_config.json": 16 * 2**20,  # it may repeat thousands of added tokens
    "special_tokens_map.json": 4 * 2**20,
    "added_tokens.json": 16 * 2**20,
    "generation_config.json": 2**20,
}
"""The largest size of small files, in bytes, by name."""

INDEX_BYTES = 32 * 2**20
"""The largest list of shards (`*.index.json`), in bytes."""

OTHER_FILE_BYTES = 64 * 2**20
"""The largest vocabulary, `tokenizer.json` included, in bytes. That of 256,000 tokens has 34 MB."""


def small_file_bytes(name: str) -> int:
    """Return the largest size of a file beside the weights, in bytes."""
    return FILE_BYTES.get(name, OTHER_FILE_BYTES)


HEADER_BYTES = 16 * 2**20
"""The largest header of a safetensors file, in bytes: 800 for each of 20,000 tensors."""

REMOTE_HEADER_BYTES = 64 * 2**20
"""Bytes to read for the headers of all weight files of a source on the Hub. A msgpack is read in
blocks of 4096 bytes, one for each tensor."""

REMOTE_HEADER_REQUESTS = 4_000
"""Requests for these headers. A msgpack takes one for each tensor, and the largest supported models
have 2,000."""

DIRECTORY_BYTES = 8 * 2**20
"""The largest directory of the archive of a pickle, and the largest data.pkl, in bytes. Those of
ten thousand tensors have one and two megabytes."""

WEIGHT_FILES = 100
"""The most shards of a source. The largest supported models have 20."""

# Values

JSON_DEPTH = 64
"""The deepest nesting of JSON, and of maps in a msgpack."""

INTEGER_BITS = 64
"""The most bits of an integer."""

# Tensors

TENSORS = 20_000
"""The most tensors of a source. The largest supported models have 2,000."""

RANK = 8
"""The most axes of a tensor. Kernels have four."""

NAME_LENGTH = 1000
"""The longest name of a tensor, in characters. Names of the supported families have up to 100."""

MISSING_NAMES = 5
"""For so many missing tensors, VED finds similar names in the source."""

COMPARED_NAMES = 1000
"""It compares each with so many names, which takes up to a millisecond for each."""

# Sizes in a config

LAYERS = 128  # of all stages together; tracing takes 0.1 s for each
WIDTH = 65_536
INNER_WIDTH = 4 * WIDTH
HEADS = 1024
VOCABULARY = 2_000_000
POSITIONS = 1_048_576
TOKEN_TYPES = 1024
IMAGE_SIZE = 8192
PATCH_SIZE = 1024
CHANNELS = 256
WINDOW = 4096
STAGES = 16
REGISTERS = 1024
MLP_RATIO = 64
LABELS = 100_000

CONFIG_SIZES: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim"), (1, WIDTH)),
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "decoder_layers", "encoder_layers"),
        (1, LAYERS),
    ),
    **dict.fromkeys(
        (
            *("num_attention_heads", "n_head", "n_heads"),
            *("decoder_attention_heads", "encoder_attention_heads"),
        ),
        (1, HEADS),
    ),
    **dict.fromkeys(
        ("intermediate_size", "n_inner", "hidden_dim", "decoder_ffn_dim", "encoder_ffn_dim"),
        (1, INNER_WIDTH),
    ),
    "pooler_output_size": (0, WIDTH),
    "vocab_size": (1, VOCABULARY),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), (1, POSITIONS)),
    "type_vocab_size": (0, TOKEN_TYPES),
    "embed_dim": (1, WIDTH),
    "depths": (1, LAYERS),
    "num_heads": (1, HEADS),
    "window_size": (1, WINDOW),
    "pretrained_window_sizes": (0, WINDOW),
    "image_size": (1, IMAGE_SIZE),
    "patch_size": (1, PATCH_SIZE),
    "num_channels": (1, CHANNELS),
    "num_register_tokens": (0, REGISTERS),
    "num_labels": (0, LABELS),
}
"""The smallest and the largest value of settings that are sizes, under all of their names: classes
of transformers read a size under its general name, too."""

CONFIG_SIZE_LISTS: Mapping[str, int] = {
    **dict.fromkeys(("depths", "num_heads", "pretrained_window_sizes"), STAGES),
    **dict.fromkeys(("image_size", "patch_size"), 2),
}
"""The most members of sizes that may be lists. Only some families take these lists."""

CONFIG_LISTS: Mapping[str, int] = {"id2label": LABELS, "label2id": LABELS}
"""The most members of settings that are mappings or lists; all others may have `LIST_LENGTH`."""

LIST_LENGTH = 10_000

PATCHES = 65_536
"""The most patches of an image. A model of 640 x 640 pixels has 1,600."""

WINDOW_PATCHES = 2**20
"""The same for an encoder whose attention stays in windows. Donut has 307,200."""

POSITION_INDEX_BYTES = 512 * 2**20
"""The largest index of relative positions of all layers, in bytes: it grows with the square of the
number of patches. BEiT of 640 x 640 pixels has 250 MB."""

TABLE_NUMBERS = 2**24
"""The most numbers of one table that VED computes: an index of relative positions, or sinusoids.
Each takes up to 40 bytes meanwhile. PEGASUS has half a million, and BEiT up to 2.6 million."""

LAYER_TENSORS = 8
"""Every layer of every supported family has at least so many tensors."""

SHARED_STORAGE = 4
"""The tensors of a pickle may have more bytes than its file, by this factor: tied tensors share a
storage."""

MISFIT = 8
"""VED does not create a model that has more parameters than its weights, by this factor. Below it,
the error names the tensors that do not fit."""

"""Make the sources of a small checkpoint that can learn to read lines in a few minutes.

    python make_sources.py DIRECTORY

The encoder is a DINOv2, which accepts images of any shape. The decoder is a GPT-2. Their weights
are random. A real task needs real sources: see docs/warm-starting.md.
"""

import argparse
from pathlib import Path

from ved.localhub import samples
from ved.localhub.samples import SampleOptions

WIDTH = 64
CONFIG = {
    "num_attention_heads": 4,
    # With the usual 0.02, layers of this width would weaken their inputs.
    "initializer_range": WIDTH**-0.5,
}
NO_DROPOUT = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the sources of a small checkpoint.")
    parser.add_argument("directory", type=Path)
    args = parser.parse_args()
    encoder = samples.dinov2(SampleOptions(hidden_size=WIDTH, config=CONFIG))
    decoder = samples.gpt2(SampleOptions(hidden_size=WIDTH, config={**CONFIG, **NO_DROPOUT}))
    encoder.write(args.directory / "dinov2")
    decoder.write(args.directory / "gpt2")

"""A checkpoint is built from files that stay as they are."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from tests.checkpoints import gpt2, vit
from tests.support.building import source
from ved.assembly import assemble
from ved.errors import ErrorCode, VedError
from ved.execution.checkpoint_dir import build_checkpoint
from ved.manifest.settings import CheckpointSettings


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_source_that_changes_while_it_is_read_gives_no_checkpoint(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, decoder = vit(tmp_path / "vit"), gpt2(tmp_path / "gpt2")
    real = assemble.assemble

    def assemble_and_change(*arguments: Any) -> Any:
        checkpoint = real(*arguments)
        content = bytearray((decoder / name).read_bytes())
        content[-1] ^= 1
        (decoder / name).write_bytes(content)
        return checkpoint

    monkeypatch.setattr(assemble, "assemble", assemble_and_change)
    built = tmp_path / "built"
    built.mkdir()
    sources = source("encoder", encoder), source("decoder", decoder)
    with pytest.raises(VedError) as raised:
        build_checkpoint(*sources, built, HfApi(), CheckpointSettings())
    assert raised.value.code is ErrorCode.SOURCE_CHANGED
    assert name in str(raised.value)
    assert not (built / "ved.json").exists()

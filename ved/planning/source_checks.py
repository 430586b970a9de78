"""Check one source of a pair: image sizes, vocabulary, special tokens, licenses, access."""

from collections.abc import Iterable
from typing import Any

from ved.assembly.config import PartConfig
from ved.assembly.processing_files import ImageProcessorFiles, TokenizerFiles
from ved.assembly.special_tokens import DecoderSettings
from ved.assembly.token_search import resolve_special_tokens
from ved.errors import ErrorCode
from ved.families.family import Family
from ved.manifest.pair_models import Pair
from ved.manifest.settings import CheckpointSettings
from ved.planning.findings import Findings
from ved.record.snippets import NEW_TOKENS
from ved.sources import Pinned, ResolvedSource, licenses
from ved.sources.weight_files import present_weights
from ved.text import quoted


def check_weight_formats(source: ResolvedSource, findings: Findings) -> None:
    """Mention that a source has weights in several formats, if the manifest does not choose."""
    present = present_weights(source.snapshot)
    if source.pinned.weights_from is None and len(present) > 1:
        findings.notice(
            source.role,
            f"{source} has weights in {len(present)} formats, which may differ: "
            f"{', '.join(present)}. VED reads {present[0]}. Choose with weights_from.",
            code=ErrorCode.SEVERAL_WEIGHT_FORMATS,
        )


def check_origin(source: ResolvedSource, findings: Findings) -> None:
    """Mention that a source is half of a whole model, or published as another family."""
    role, half, twin = source.role, source.half, source.family.twin
    if half is not None:
        findings.notice(
            role,
            f"{source} is a whole {source.whole} model. VED takes its {role}: the tensors "
            f"{half.prefix}.*.",
            code=ErrorCode.HALF_OF_A_MODEL,
        )
    if twin is not None:
        findings.notice(
            role,
            f"The {role} is published as {quoted(twin.of)}, which is the same computation as "
            f"{quoted(source.model_type)} under other names.",
            code=ErrorCode.TWIN_FAMILY,
        )


def check_licenses(pair: Pair, pinned: Iterable[Pinned], findings: Findings) -> None:
    """Warn if the licenses of the sources and the license of the pair do not fit together."""
    repos = [each.snapshot for each in pinned if each.snapshot.commit]
    found = {each.name: each.metadata.license for each in repos}
    for problem in licenses.license_problems(pair.license, found):
        findings.warn("license", str(problem), code=ErrorCode.LICENSE_UNCLEAR)


def check_access(pair: Pair, source: ResolvedSource, findings: Findings) -> None:
    """Warn if a gated source would become part of a checkpoint that is not private."""
    if not source.snapshot.metadata.gated:
        return
    text = f"{source} is gated, and the checkpoint contains its weights"
    if pair.private:
        message = f"{text}: read its terms before you share the checkpoint."
        findings.notice(source.role, message, code=ErrorCode.GATED_SOURCE)
    else:
        findings.warn(
            source.role,
            f"{text}: a public checkpoint may violate the terms. Read them, and unless they allow "
            "it, set private: true in the pair.",
            code=ErrorCode.GATED_SOURCE,
        )


def check_token_ids(
    pair: Pair,
    source: ResolvedSource,
    config: PartConfig,
    tokenizer: TokenizerFiles,
    findings: Findings,
) -> None:
    """Find special token ids that are missing, out of range, contradicted or shared.

    Args:
        pair: the entry of the manifest, which may name ids.
        source: the decoder.
        config: its config.
        tokenizer: its tokenizer.
        findings: the list to add findings to.
    """
    if not isinstance(config.get("vocab_size"), int):
        return
    with findings.about("token_ids"):
        wanted = CheckpointSettings.of(pair).token_ids
        of_decoder = DecoderSettings(source.config, source.generation, config, source.of_whole)
        tokens = resolve_special_tokens(wanted, of_decoder, tokenizer, str(source))
        for warning in tokens.warnings:
            findings.warn("token_ids", warning, code=ErrorCode.TOKEN_IDS_DIFFER)
        ids = tokens.ids
        if ids.pad_is_eos:
            findings.notice(
                "token_ids",
                f"Pad and eos are both {ids.pad.id}: training has to mask padding by the attention "
                "mask, not by the pad token.",
                code=ErrorCode.TOKEN_IDS,
            )


def check_image_size(
    source: ResolvedSource,
    config: PartConfig,
    image_processor: ImageProcessorFiles,
    findings: Findings,
) -> None:
    """Compare the size of the image processor's images with the size that the encoder takes.

    Args:
        source: the encoder.
        config: its config.
        image_processor: its image processor.
        findings: the list to add findings to.
    """
    processed, expected = image_processor.size, _height_and_width(config["image_size"])
    if processed == expected or (processed is None and source.family.takes_any_size):
        return
    size = "various sizes" if processed is None else f"{processed[0]} x {processed[1]}"
    text = (
        f"The image processor makes images of {size}, and the encoder's config says "
        f"{expected[0]} x {expected[1]}"
    )
    patch = _height_and_width(config["patch_size"])
    if processed is not None and (processed[0] < patch[0] or processed[1] < patch[1]):
        message = f"{text}: such images have no patch of {patch[0]} x {patch[1]}."
        findings.warn("encoder", message, code=ErrorCode.IMAGE_SIZE)
    elif processed is not None and _misses_window(source.family, config, processed):
        message = f"{text}: such images have less than one window in the last stage."
        findings.warn("encoder", message, code=ErrorCode.IMAGE_SIZE)
    elif source.family.takes_any_size:
        message = f"{text}: {source.family.other_sizes}."
        findings.notice("encoder", message, code=ErrorCode.IMAGE_SIZE)
    else:
        message = f"{text}: the model will refuse such images."
        findings.warn("encoder", message, code=ErrorCode.IMAGE_SIZE)


def _misses_window(family: Family, config: PartConfig, size: tuple[int, int]) -> bool:
    """Return whether PyTorch fails with images of a size, in pixels: see `Family`."""
    if not family.needs_whole_windows:
        return False
    sides = zip(size, _height_and_width(config["patch_size"]), strict=True)
    smallest = min(-(-pixels // patch) for pixels, patch in sides)  # rounded up
    last: int = -(-smallest // 2 ** (len(config["depths"]) - 1))
    return last < int(config["window_size"])


def check_channels(
    config: PartConfig, image_processor: ImageProcessorFiles, findings: Findings
) -> None:
    """Compare the channels of processed RGB images with those that the encoder takes."""
    expected, processed = int(config["num_channels"]), image_processor.channels
    if processed != expected:
        findings.warn(
            "encoder",
            f"The image processor makes {processed} channels of an RGB image, and the encoder "
            f"takes {expected}: the model will refuse such images.",
            code=ErrorCode.IMAGE_SIZE,
        )


def check_positions(source: ResolvedSource, config: PartConfig, findings: Findings) -> None:
    """Compare the decoder's positions with the length of the texts that the card's code generates.

    Args:
        source: the decoder.
        config: its config.
        findings: the list to add findings to.
    """
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int):
        return
    if source.family.counts_from_pad:
        positions -= int(config["pad_token_id"]) + 1
    if positions < NEW_TOKENS:
        findings.warn(
            "decoder",
            f"The decoder has {positions} positions, and the code on the model card generates "
            f"{NEW_TOKENS} tokens.",
            code=ErrorCode.FEW_POSITIONS,
        )


def _height_and_width(size: Any) -> tuple[int, int]:
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(height), int(width)


def check_vocabulary(config: PartConfig, tokenizer: TokenizerFiles, findings: Findings) -> None:
    """Compare the tokenizer's vocabulary with the rows of the decoder's embedding."""
    rows = int(config["vocab_size"])
    outside = [token for token in tokenizer.tokens[max(rows, 0) :] if token is not None]
    num_tokens = sum(token is not None for token in tokenizer.tokens)
    if outside:
        findings.warn(
            "decoder",
            f"{len(outside)} of the tokenizer's tokens, such as {quoted(outside[0])}, are outside "
            f"the {rows} rows of the embedding: text with such a token cannot be encoded.",
            code=ErrorCode.VOCABULARY_SIZE,
        )
    elif num_tokens < rows:
        findings.notice(
            "decoder",
            f"The embedding has {rows} rows, and the tokenizer {num_tokens} tokens.",
            code=ErrorCode.VOCABULARY_SIZE,
        )

"""Xet storage: large files as deduplicated chunks in a content-addressed storage (CAS).

hf_xet 1.8.0 uploads to it and downloads from it, unmodified. The words are those of the protocol:

- chunk: 8 to 128 KiB of a file, cut by content.
- xorb: up to 64 MiB of compressed chunks, the unit of upload.
- shard: the description of uploaded files and xorbs. A file is a list of terms.
- term: a range of chunks of one xorb.
- reconstruction: the terms of a file, or of a range of it, with addresses to download them from.

The formats and the requests are those of https://huggingface.co/docs/xet and of the client,
https://github.com/huggingface/xet-core at release 1.8.0.
"""

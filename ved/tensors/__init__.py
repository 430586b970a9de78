"""Weights, read lazily and written as a stream.

`tensor` says what a tensor is; `safetensors`, `msgpack` and `pickled` open and write the files that
hold them; `names` says which source tensor belongs to which parameter.
"""

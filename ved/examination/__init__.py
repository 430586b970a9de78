"""Examine sources in a process of its own, without secrets and within limits.

Whatever a source does to the libraries that parse it is a finding about that source, and never the
end of a run. `examiner` starts the process and asks it. `worker` is its program, `sandbox` confines
it, and `examine` is what it does. `report` has the plain data that both exchange. `source_files`
collects the files that it sees.

Only `examine` and `load` import jax or transformers, when a step needs them.
"""

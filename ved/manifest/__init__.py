"""pairs.yaml to typed pairs, or to every problem in it as file:line:column."""

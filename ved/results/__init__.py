"""Report what became of each pair, for people and for programs."""

"""One pretrained checkpoint at one commit: its files, metadata, licenses and weight headers."""

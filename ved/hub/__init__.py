"""Talk to a Hugging Face Hub: HTTP with limits and retries, accounts, OIDC, ranges of files."""

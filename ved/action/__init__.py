"""The GitHub Action: inputs, events, workflow commands, outputs, job summary."""

"""What the machine has left: disk and memory."""

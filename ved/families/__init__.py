"""What VED knows of each encoder and decoder family."""

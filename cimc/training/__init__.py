"""Fine-tuning of a compiled network with the device in its forward pass."""

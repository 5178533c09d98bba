"""Fine-tunings of many small networks, and the pages of docs/results made of them."""

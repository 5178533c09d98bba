"""Programs compiled around the faults of chips, and the pages of docs/results made of them."""

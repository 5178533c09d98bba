"""Full scales of the converters around crossbars: what they convert, and how to choose them."""

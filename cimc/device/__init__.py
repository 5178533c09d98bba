"""The device model: what cells and converters do to numbers, as pure functions."""

"""From quantized weights to cells, converter ranges and a device program.

What passes and training share: passes call it once, training after every few steps.
"""

"""Memorisation: canaries planted in a training set, what a model kept of them, and whether it writes what it was told.

In: a model, samples. Out: exposures, sentences and prompts that can be drawn out again. It knows the model and its
data; it trains nothing and judges nothing.
"""

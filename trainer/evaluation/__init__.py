"""Evaluation: how good a model is, its base beside it, and whether it may be kept.

In: a checkpoint and dialogues. Out: figures, budget checks, the report and its page. It knows the model and its data,
and trains nothing.
"""

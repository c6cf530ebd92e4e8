"""Data: text -> token shards, dialogues -> tokenised examples -> batches.

In: files of text, runs, dialogues. Out: a Batch for each step, a pure function of seed and step. It knows no loss.
"""

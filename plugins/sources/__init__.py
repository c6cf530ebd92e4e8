"""Readers of memories: a profile as MetaHuman OS keeps it, a JSONL file, what was imported.

In: paths. Out: MemoryEvents, and Drops for what cannot be read.
"""

"""Cognitive modes: their names and tags. In: a memory. Out: its pairs, each said and answered."""

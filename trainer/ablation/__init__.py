"""Ablation: which parts of a person's texts help a model of them, and which harm it; docs/ablation.md.

In: a curated run. Out: trainings without each part, what they differ by and how sure that is, result.json. It knows
training and every room below; `curate run` is to it a program that makes a set anew, and no import.
"""

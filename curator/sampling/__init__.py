"""Sampling: one memory after the other -> pairs -> cleaned and screened samples.

In: a Timeline. Out: what each memory gave, its samples and its drops. It knows modes and plugins; it does not know
which samples will be chosen.
"""

"""Exports: a finished run as another tool takes it, and how that tool will see it.

In: a run's folder. Out: a folder with data, configuration and commands, whole or not at all; or rows to look at.
It knows tools through plugins alone.
"""

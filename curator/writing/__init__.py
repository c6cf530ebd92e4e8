"""The last pass of a run: chosen samples become the lines of its files, and what a report counts.

In: chosen samples in their order, and what an earlier run wrote. Out: the bytes of each file, and figures of each
sample. It knows no memory as it was read.
"""

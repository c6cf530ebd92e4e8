"""Executing: the same work on many tasks, in this process or on several cores, with the results in the order asked.

In: a function that begins the work, and tasks. Out: what each task gave. It knows no memory, plugin or sample.
"""

"""What both programs make of their own process: its streams and its umask, and what the paths of options may lead to.

In: arguments, open files. Out: a stream that never raises, or an error before any work is done. It knows errors alone.
"""

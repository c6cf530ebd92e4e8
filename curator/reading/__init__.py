"""Reading: files of memories -> MemoryEvents in the order of time.

In: a profile's folder, or a file. Out: a Timeline, and a Drop for whatever could not be read. It knows formats and
clocks; it knows no mode and no sample.
"""

"""What people bring: the export of an app, found by its structure, read into messages, and kept beside the memories.

In: the paths of an export, and readers (plugins). Out: `imports/<label>/` of a profile, and its messages for a run. It
knows files, clocks and senders; it knows no app's format, which a reader knows, no mode and no sample.
"""

"""What people bring: the export of an app, found by its structure, read into messages, and kept beside the memories.

A reader (a plugin of the hook `register_importers`) turns the files of an export into ImportedMessages and Skips. All
else is done here, once for all readers: opening files, folders and zips, telling who the person is, throwing out what
is there twice, writing it whole or not at all.
"""

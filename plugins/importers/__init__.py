"""Readers of the exports of apps, one a file.

In: the files of an export. Out: ImportedMessages, and a Skip for whatever gives none.
"""

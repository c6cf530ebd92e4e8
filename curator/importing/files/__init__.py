"""The files of an export: opened alike whatever holds them, and read as streams.

In: paths. Out: entries, and their JSON, text, rows or mended XML. It knows encodings and what a broken file looks like;
it knows no app.
"""

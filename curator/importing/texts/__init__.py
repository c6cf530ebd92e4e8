"""What stands around a person's own words: markup, quoted mail, the marks of notes, what an app itself writes.

In: texts of an export. Out: the words of who wrote them. It knows mail, HTML, Markdown and tables of apps' own words;
it knows no export.
"""

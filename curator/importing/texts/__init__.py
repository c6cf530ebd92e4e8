"""What stands around a person's own words in a text: markup, quoted mail, dates, the marks of notes.

In: mails, pages, notes and diaries as their files have them. Out: the words, whose they are, and of which day. It knows
no profile and no reader.
"""

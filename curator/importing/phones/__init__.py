"""What readers of phones and messengers share: chats as Meta writes them, SQLite files, reactions that come as words.

In: files of an export. Out: messages and skips, rows of a database. It knows no profile and no reader.
"""

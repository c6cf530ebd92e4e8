"""What readers of phones and messengers share: chats as Meta writes them, SQLite files, reactions in words."""

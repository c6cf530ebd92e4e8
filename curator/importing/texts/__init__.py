"""What stands around a person's own words in a text of an export: markup, quoted mail, dates and the marks of notes."""

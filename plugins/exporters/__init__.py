"""The set as other tools take it. In: a conversation. Out: a row, and a recipe: configuration, commands, notes."""

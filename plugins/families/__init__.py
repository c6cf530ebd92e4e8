"""Model families, as data. In: nothing. Out: ChatFormats, each from a file of etc/schemas/."""

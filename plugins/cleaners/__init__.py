"""What is done to a reply that is not the person's. In: a text. Out: the text, changed or not, or a Reject."""

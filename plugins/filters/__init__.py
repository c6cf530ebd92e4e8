"""What is turned down, and why. In: a memory or a sample. Out: None or a reason code."""

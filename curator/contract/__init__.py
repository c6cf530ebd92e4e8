"""What both programs must agree on, written once: run folder, modes and tags, chat formats, settings, errors, files.

In: paths, bytes and texts. Out: checked values, or one error that says what to do. It knows neither program.
"""

__version__ = "0.1.0"

"""Dates and times as exports write them: clocks on a wall, numbers in some order, prose in any language.

In: what stands in a file. Out: UTC, or which number is the month. It knows zones and languages; it knows no app.
"""

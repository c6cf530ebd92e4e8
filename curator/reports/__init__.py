"""Reports: what a run holds and where everything else went; the proof that a set is clean.

In: a run's counts, or its folder. Out: Report, problems, findings, as records; `terminal` and `page` show them. It
knows the run folder, and writes no set.
"""

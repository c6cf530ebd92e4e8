"""Encryption: MetaHuman OS profiles that lie there encrypted, and a veil over what a run parks on disk meanwhile.

In: a password and a profile's folder; bytes to park. Out: the plain bytes of a file, in memory alone; bytes that only
this process can read. It knows files, envelopes and keys; it knows no memory and no mode.
"""

"""Fuzzing of the parsers that strangers reach: ``python -m tests.fuzz SECONDS``.

A target takes any bytes and asserts what has to hold for them. Its corpus, ``corpus/TARGET``, is
replayed with the other tests; what fails once becomes a file of it.
"""

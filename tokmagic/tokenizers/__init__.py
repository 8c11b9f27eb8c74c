"""Loads packed BPE ranks and estimators and hands ``core`` a counter."""

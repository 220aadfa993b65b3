"""Drift of what a served model is asked and answers, from what it was validated on.

A pipeline records a summary at export, and `python -m serving watch` compares requests with it:
both measure by this package, which knows neither of them.
"""

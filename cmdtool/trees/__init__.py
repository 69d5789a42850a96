"""Who belongs to a run, whatever it did to hide, and how all of them are killed.

It imports nothing of ours and, on Linux, nothing but the standard library, for the keeper starts with it alone.
"""

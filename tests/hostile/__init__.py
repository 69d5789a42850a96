"""Misbehaving programs, each called by a real client of a real server, and what has to hold nevertheless.

`programs/` holds the programs, `cases/` what is done with them, as data. `acts.py` is what is done to a call,
`stage.py` the server and client of a case, `harness.py` what is measured and must hold in every case. `make hostile`
prints the figures. `docs/security.md` says which threat each case stands for.
"""

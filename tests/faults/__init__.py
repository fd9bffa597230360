"""Faults with real processes: every case ends with the ledger check of `ledger.py`."""

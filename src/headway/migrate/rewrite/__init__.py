"""Rewrites a project that uses arq into one that uses Headway; the code is read, never imported or run.

`sources` finds the files, `modules` and `project` say what their names mean, `workers` reads what arq was told, `plan`
decides what becomes of it, `module_pass` changes one module, `commands` what is no Python.
"""

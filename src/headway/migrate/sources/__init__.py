"""The systems that jobs are brought along from, one package each."""

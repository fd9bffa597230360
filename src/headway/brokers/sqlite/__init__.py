"""The carrier `sqlite:///path`: an embedded file in WAL mode, shared by the processes of one machine."""

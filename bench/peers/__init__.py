"""One folder a peer: its pinned environment, its worker's tasks and its producer."""

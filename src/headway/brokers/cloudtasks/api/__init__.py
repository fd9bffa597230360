"""The API of Cloud Tasks: the official client, calls with patience, errors, resources and names."""

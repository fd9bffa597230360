"""A stateful test: random stories told to a carrier and to a small model, which must agree."""

"""`headway demo`: real work on real input, with a worker killed in the middle, and an account drawn from the store."""

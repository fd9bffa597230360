"""A carrier that consists of several others: each job goes to one of them, all are asked about all."""

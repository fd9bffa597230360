"""What BullMQ and Bull have in common: how jobs lie in lists and sets, how they are read, taken and put back."""

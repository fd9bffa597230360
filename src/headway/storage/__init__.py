"""What drivers of several kinds need of one server or file."""

"""What runs jobs; it knows no driver."""

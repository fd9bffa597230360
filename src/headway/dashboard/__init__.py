"""What people look at: pages around the server's services, rendered here, readable without script."""

"""The services by HTTP: one file a resource, one table of all routes, problems as RFC 9457 has them."""

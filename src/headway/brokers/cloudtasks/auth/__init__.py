"""Whether a request comes from whom it should: by OIDC token or HMAC."""

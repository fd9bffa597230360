"""The one behavioural suite: what every carrier promises, checked on each of them."""

"""Live events to browsers and programs, by SSE: one reader for all of them."""

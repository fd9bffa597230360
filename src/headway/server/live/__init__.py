"""Live events to browsers and programs, by Server-Sent Events: one reader of the carriers for all of them."""

"""An emulator of Google Cloud Tasks and Cloud Scheduler, and Headway's own push dispatcher."""

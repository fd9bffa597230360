"""The task."""

from headway import Headway

app = Headway("users")  # HEADWAY_URL says where; without it the file headway.db


@app.task
def send_welcome(user: int) -> str:
    """Send a mail, or say so."""
    return f"welcome, user {user}"

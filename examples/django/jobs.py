"""The tasks. They are `def`, since they use the ORM: each runs in a thread, with a database connection of its own."""

from django.db import close_old_connections

from headway import Headway
from orders.models import Order

app = Headway("orders")  # HEADWAY_URL says where; without it the file headway.db


@app.task
def charge(order: int) -> None:
    """Take the money; safe to run twice, as it may."""
    close_old_connections()  # one that the database has closed is replaced
    Order.objects.filter(pk=order, state="new").update(state="paid")


@app.task
def ship(order: int) -> None:
    """Send the goods."""
    close_old_connections()
    Order.objects.filter(pk=order, state="paid").update(state="shipped")

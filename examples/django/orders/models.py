"""What is stored."""

from django.db import models


class Order(models.Model):
    """An order, from its arrival to its dispatch."""

    state = models.CharField(max_length=10, default="new")

    def __str__(self) -> str:
        """Name it in Django's own pages."""
        return f"order {self.pk}: {self.state}"

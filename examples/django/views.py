"""The views: one blocking, one asynchronous, one that looks."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from jobs import charge, ship
from orders.models import Order


@csrf_exempt
@require_POST
@transaction.atomic
def order(request: HttpRequest) -> JsonResponse:
    """Store an order, and enqueue when it is committed: no worker looks for a row that is not there yet."""
    new = Order.objects.create()
    transaction.on_commit(lambda: charge.sync.enqueue(new.pk))
    return JsonResponse({"order": new.pk}, status=201)


@csrf_exempt
@require_POST
async def send(request: HttpRequest, pk: int) -> JsonResponse:
    """Enqueue from an asynchronous view."""
    job = await ship.enqueue(pk)
    return JsonResponse({"job": job.id}, status=202)


@require_GET
def look(request: HttpRequest, pk: int) -> JsonResponse:
    """Tell how an order stands."""
    return JsonResponse({"state": get_object_or_404(Order, pk=pk).state})

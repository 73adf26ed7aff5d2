"""The shop's API: place an order, look at it."""

from __future__ import annotations

import json

from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from shop.checkout import place
from shop.models import Order


@csrf_exempt
@require_POST
def place_order(request: HttpRequest) -> JsonResponse:
    """``{"email": …, "items": {"tea": 2}}`` becomes an order."""
    try:
        wanted = json.loads(request.body)
        order = place(wanted["email"], wanted["items"])
    except (ValueError, KeyError, TypeError) as exc:
        return JsonResponse({"error": str(exc)}, status=400)
    where = reverse("show-order", args=[order.pk])
    return JsonResponse({"order": order.pk}, status=202, headers={"Location": where})


@require_GET
def show_order(request: HttpRequest, number: int) -> JsonResponse:
    """How far an order has come."""
    order = get_object_or_404(Order, pk=number)
    return JsonResponse({"order": order.pk, "state": order.state, "reason": order.reason})

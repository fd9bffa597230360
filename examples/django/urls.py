"""Where the views are found."""

import views
from django.urls import path

urlpatterns = [
    path("orders/", views.order),
    path("orders/<int:pk>/", views.look),
    path("orders/<int:pk>/ship/", views.send),
]

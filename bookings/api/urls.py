"""Addresses of the bookings API, below /api/v1/."""

from django.urls import path

from bookings.api import views

urlpatterns = [
    path("venues/", views.VenueListView.as_view()),
    path("resources/", views.ResourceListView.as_view()),
    path("resources/<int:resource_id>/", views.ResourceView.as_view()),
    path("resources/<int:resource_id>/availability/", views.AvailabilityView.as_view()),
    path("holds/", views.HoldListView.as_view()),
    path("holds/<uuid:hold_id>/", views.HoldView.as_view()),
    path("holds/<uuid:hold_id>/confirm/", views.HoldConfirmView.as_view()),
    path("bookings/", views.BookingListView.as_view()),
    path("bookings/<uuid:booking_id>/", views.BookingView.as_view()),
    path("bookings/<uuid:booking_id>/history/", views.BookingHistoryView.as_view()),
    path("bookings/<uuid:booking_id>/cancel/", views.BookingCancelView.as_view()),
]

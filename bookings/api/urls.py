"""Addresses of the bookings API, below /api/v1/."""

from django.urls import path
from django.views.decorators.http import conditional_page

from bookings.api import feedback_views, views

# The catalogue changes rarely: its answers have an ETag, and 304 if nothing is new.
venues = conditional_page(views.VenueListView.as_view())
resources = conditional_page(views.ResourceListView.as_view())
resource = conditional_page(views.ResourceView.as_view())

urlpatterns = [
    path("venues/", venues),
    path("resources/", resources),
    path("resources/<int:resource_id>/", resource),
    path("resources/<int:resource_id>/availability/", views.AvailabilityView.as_view()),
    path("holds/", views.HoldListView.as_view()),
    path("holds/<uuid:hold_id>/", views.HoldView.as_view()),
    path("holds/<uuid:hold_id>/payment/", views.HoldPaymentView.as_view()),
    path("holds/<uuid:hold_id>/confirm/", views.HoldConfirmView.as_view()),
    path("waitlist/", views.WaitlistView.as_view()),
    path("waitlist/<uuid:entry_id>/", views.WaitlistEntryView.as_view()),
    path("waitlist/<uuid:entry_id>/decline/", views.WaitlistDeclineView.as_view()),
    path("bookings/", views.BookingListView.as_view()),
    path("bookings/<uuid:booking_id>/", views.BookingView.as_view()),
    path("bookings/<uuid:booking_id>/history/", views.BookingHistoryView.as_view()),
    path(
        "bookings/<uuid:booking_id>/cancellation-quote/",
        views.CancellationQuoteView.as_view(),
    ),
    path("bookings/<uuid:booking_id>/cancel/", views.BookingCancelView.as_view()),
    path("bookings/<uuid:booking_id>/feedback/", feedback_views.FeedbackView.as_view()),
    path(
        "bookings/<uuid:booking_id>/feedback/accept/",
        feedback_views.FeedbackAcceptView.as_view(),
    ),
    path(
        "bookings/<uuid:booking_id>/feedback/enhance/",
        feedback_views.FeedbackEnhanceView.as_view(),
    ),
]

"""Bookings: hold a slot, confirm it, cancel it."""

"""Everything that writes bookings: one module a noun."""

"""Stripe: the customers' cards. No card data reaches SlotBase."""

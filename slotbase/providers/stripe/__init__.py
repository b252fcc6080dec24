"""Stripe: the customers' cards. No card data reaches SlotBase."""

import os

# With it the SDK would print bodies to standard error. It looks once, when imported.
os.environ.pop("STRIPE_LOG", None)

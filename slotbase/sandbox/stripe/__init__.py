"""Stripe, simulated: payment intents, charges, refunds, disputes, events, webhooks."""

"""`make demo`: customers, the front desk and support against the running product.

Every step says what was promised; the first one that is not kept ends the demo, with
exit code 1.
"""

"""The one error of this package."""


class StackError(Exception):
    """Something a person must put right; the message is a sentence written for them."""

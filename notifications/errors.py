"""What can go wrong with messages: mistakes of whoever queues one."""


class UnknownTemplate(ValueError):
    """There is no such template, or its context lacks something."""

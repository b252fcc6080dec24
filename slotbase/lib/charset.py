"""Requests are UTF-8, whatever their Content-Type says."""


class Utf8:
    """For a request class of Django: takes no notice of the charset parameter.

    Django reads bodies and the query with any codec of Python that a client names, such
    as `base64`, and fails before there is anything to answer with. For JSON the
    parameter means nothing (RFC 8259), and browsers send forms without it.
    """

    @property
    def encoding(self) -> str | None:
        """None: Django's default, which is UTF-8."""
        return None

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        """Django offers the charset here."""

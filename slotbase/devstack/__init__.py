"""The whole product on one computer: embedded servers, a supervisor, demo data.

For development, demonstrations and tests only; a production process never imports it.
"""

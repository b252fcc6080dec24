"""A service account of nobody: the sandbox takes what its key signs."""

import json
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PROJECT = "slotbase-sandbox"


@cache
def make_service_account(token_uri: str) -> str:
    """The JSON file of an account that asks for its access tokens at this address."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": PROJECT,
            "client_email": f"push@{PROJECT}.iam.gserviceaccount.com",
            "private_key_id": "sandbox",
            "private_key": _make_key(),
            "token_uri": token_uri,
        }
    )


def _make_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode()

"""Public keys as they are written into settings."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

LEAST_BITS = 2048


def read_public_key(text: str) -> RSAPublicKey:
    """An RSA key in PEM, whose line breaks may be written out: backslash, n.

    Raises:
        ValueError: it is none, or too short to be safe.
    """
    pem = text.replace("\\n", "\n").strip().encode()
    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError("unsupported") from error
    if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_BITS:
        raise ValueError("not an RSA key of 2048 bits or more")
    return key

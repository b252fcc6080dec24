"""Signing keys: what the simulated Clerk signs with, kept on disk over restarts."""

import base64
import hashlib
import hmac
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    "RS256": hashes.SHA256(),
    "RS384": hashes.SHA384(),
    "RS512": hashes.SHA512(),
}
# HS256 and none are what forgers try; HS256 signs with the public key as the secret.
ALGORITHMS = (*_RSA_HASHES, "HS256", "none")


def base64url(data: bytes) -> str:
    """Base64 for tokens: URL-safe and without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SigningKey:
    """An RSA key; its id is made from its public numbers, so it needs no store."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self.private = private
        numbers = private.public_key().public_numbers()
        self._n, self._e = _base64url_number(numbers.n), _base64url_number(numbers.e)
        self.kid = "ins_" + hashlib.sha256(self._n.encode()).hexdigest()[:27]

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new key."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def jwk(self) -> dict[str, Any]:
        """The public half, as a key set shows it."""
        return {
            "use": "sig",
            "kty": "RSA",
            "kid": self.kid,
            "alg": "RS256",
            "n": self._n,
            "e": self._e,
        }

    def public_pem(self) -> bytes:
        """The public half as PEM."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )

    def sign(self, algorithm: str, data: bytes) -> bytes:
        """The signature of the data, right or forged."""
        if algorithm == "none":
            return b""
        if algorithm == "HS256":
            return hmac.digest(self.public_pem(), data, "sha256")
        return self.private.sign(data, padding.PKCS1v15(), _RSA_HASHES[algorithm])


def _base64url_number(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8))


class KeyRing:
    """The current and the previous signing key, in files only their owner can read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.previous = self._load("previous")
        self.current = self._load("current") or self._store(
            "current", SigningKey.generate()
        )

    def rotate(self) -> None:
        """Begin to sign with a new key; the present one becomes the previous one."""
        self.previous = self._store("previous", self.current)
        self.current = self._store("current", SigningKey.generate())

    def _path(self, name: str) -> Path:
        return self._directory / f"clerk-{name}-key.pem"

    def _load(self, name: str) -> SigningKey | None:
        if not self._path(name).exists():
            return None
        pem = self._path(name).read_bytes()
        private = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(private, rsa.RSAPrivateKey):
            raise TypeError(f"{self._path(name)} is not an RSA key: delete it.")
        return SigningKey(private)

    def _store(self, name: str, key: SigningKey) -> SigningKey:
        pem = key.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        new = self._path(name).with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(pem)
        new.replace(self._path(name))
        return key

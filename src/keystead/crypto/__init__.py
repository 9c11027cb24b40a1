"""Cryptography: public constructions put together from `cryptography`'s primitives, and nothing invented.

Start with ``aead.py`` (XAES-256-GCM, an AES-GCM whose nonces may be random) and ``committing.py`` (the
same with a key commitment: what ciphertext blobs and wrapped keys are made of). ``kdf.py`` derives keys,
``keywrap.py`` wraps one key under another, ``secret.py`` keeps key bytes out of logs and tracebacks,
``random.py`` is the source of randomness and tests it at start, ``merkle.py`` and ``note.py`` are the audit log's
proofs. ``keypair.py`` makes and opens asymmetric keys, one family of them a module; ``publickey.py`` is their
public half, ``mac.py`` is HMAC, ``material.py`` is what custody keeps of each.

Everything here is pure: bytes in, bytes out, randomness as an argument; only what asymmetric keys need of it is drawn
by the libraries themselves, from the same generator of the operating system's. Whatever fails to open fails as
`InvalidCiphertext` without a word about why.
"""

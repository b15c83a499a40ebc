"""How whoever gets a message of ours can tell that it is: the headers of a signed POST. No I/O.

The signature is ``v1=`` and the hexadecimal HMAC-SHA256, under the shared secret, of the timestamp (in seconds),
a full stop and the body. A receiver computes the same, compares in constant time and refuses what is minutes old.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

from exact_source.setting_values import Secret

TIMESTAMP, SIGNATURE = "Webhook-Timestamp", "Webhook-Signature"


def headers(secret: Secret, body: bytes, at: datetime) -> dict[str, str]:
    """The two headers of a body that is sent now."""
    timestamp = str(int(at.timestamp()))
    seal = hmac.new(secret.reveal().encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {TIMESTAMP: timestamp, SIGNATURE: f"v1={seal}"}

"""A Nebulox callback's bytes: the fields of the later documents, signed with the gateway's key. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import re
from decimal import Decimal

import simplejson

from workers.embedded.sandbox.coins import COINS
from workers.embedded.sandbox.invoices import Invoice
from workers.embedded.sandbox.quirks import Quirks
from workers.embedded.sandbox.wire import RawJSON, write_json

SIGNATURE_HEADER = "X-Hash"

NAMES = {"BTC": "Bitcoin", "LTC": "Litecoin", "ETH": "Ethereum", "USDT": "Tether", "TRX": "Tron", "DOGE": "Dogecoin"}
#: Fields of the older payloads.
OLD_FIELDS = ("orderId", "txId", "amount", "confirmations", "status")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")


def write_body(invoice: Invoice, word: str, quirks: Quirks) -> bytes:
    """The callback about the invoice with this status word."""
    fields = _fields(invoice, word)
    if "wrong_amount" in quirks:
        fields["amount"] = f"{Decimal(str(quirks['wrong_amount'])).normalize():f}"
        fields |= {"paidAmount": fields["amount"]} if "paidAmount" in fields else {}
    if "wrong_coin" in quirks:
        other = "BTC" if invoice.pay_currency == "LTC" else "LTC"
        fields |= _coin(other) | ({"coinName": NAMES[other]} if "coinName" in fields else {})
    if "new_word" in quirks:
        fields["status"] = "aml_hold"
    if "new_field" in quirks:
        fields["amlCheck"] = "passed"
    if "old" in quirks:
        fields = {name: fields[name] for name in OLD_FIELDS}
    return _spell_oddly(fields) if "spelled" in quirks else write_json(fields).encode()


def forge_body(invoice: Invoice) -> bytes:
    """What a forger would post who wants the order to count as paid."""
    return write_json(_fields(invoice, "COMPLETED") | {"txId": "f0" * 32}).encode()


def seal(body: bytes, key: str) -> tuple[bytes, dict[str, str]]:
    """The body unchanged, and the header that signs it."""
    return body, {SIGNATURE_HEADER: hmac.digest(key.encode(), body, hashlib.sha256).hex()}


def _fields(invoice: Invoice, word: str) -> dict[str, object]:
    symbol = invoice.pay_currency or "BTC"
    fields: dict[str, object] = {
        "orderId": invoice.order_id,
        "txId": invoice.tx_hash,
        "amount": invoice.pay_amount,
        "confirmations": 0 if invoice.tx_hash is None else 1,
        "status": word,
        "type": "INVOICE",
        **_coin(symbol),
        "trackingCode": invoice.number,
        "isWallet": False,
    }
    if word == "PARTIAL":
        fields["paidAmount"] = invoice.paid_amount
    if word == "COMPLETED":
        fields["coinName"] = NAMES.get(symbol, symbol)
    return fields


def _coin(symbol: str) -> dict[str, object]:
    return {"coin": symbol, "network": COINS[symbol].network.removesuffix(" Network")}


def _spell_oddly(fields: dict[str, object]) -> bytes:
    """The same content as other JSON writers may spell it: escapes, numbers for texts, CRLF, a final newline."""
    odd = dict(fields)
    order_id = str(odd["orderId"])
    if _WHOLE.fullmatch(order_id):
        odd["orderId"] = RawJSON(order_id)
    odd["confirmations"] = RawJSON(f"{odd['confirmations']}.0")
    odd["amount"] = RawJSON(str(odd["amount"]))
    odd["note"] = "caf\u00e9 \u20bf"
    odd["meta"] = {}
    lines = [f"{_spell_text(name)} :\t{_spell(value)}" for name, value in odd.items()]
    return ("{\r\n  " + ",\r\n  ".join(lines) + "\r\n}\r\n").encode()


def _spell(value: object) -> str:
    return _spell_text(value) if isinstance(value, str) else str(simplejson.dumps(value))


def _spell_text(text: str) -> str:
    """With escaped slashes, and the first letter escaped: `\\u0061` is an a."""
    written = write_json(text).replace("/", "\\/")
    return f'"\\u{ord(text[0]):04x}{written[2:]}' if text[:1].isascii() and text[:1].isalpha() else written

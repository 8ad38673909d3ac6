"""The adaptor of WeChat Pay, version 3: RSA-SHA256 both ways, notices sealed with AES-256-GCM.

Source: the public API reference of WeChat Pay v3 (signatures, `transactions`, `refund/domestic`,
`bill/tradebill`, `certificates`).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import secrets
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from threading import Lock
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from steelyard.payments.channels import signing
from steelyard.payments.channels.calls import (
    SKEW_SECONDS,
    Answered,
    Caller,
    Disbelief,
    no_answer,
    small_names,
    unknown,
)
from steelyard.payments.model.channel import (
    Decline,
    Finding,
    Method,
    Notice,
    PayRequest,
    Query,
    RawNotice,
    RefundRequest,
    Said,
    StatementFile,
)

FORM: Final = "wechat_bill"
REPLY: Final = '{"code":"SUCCESS","message":"成功"}'.encode()
_SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
_BEIJING: Final = timezone(timedelta(hours=8))
_LOOK_AGAIN_SECONDS: Final = 60.0
_LOOKING_SECONDS: Final = 2.0
"""How long others wait while one fetches certificates."""
_SAID: Final = {
    "SUCCESS": Said.SUCCEEDED,
    # It went through, and part of it or all was refunded since.
    "REFUND": Said.SUCCEEDED,
    "NOTPAY": Said.ACTION,
    "USERPAYING": Said.PENDING,
    "ACCEPT": Said.PENDING,
    "CLOSED": Said.CLOSED,
    "REVOKED": Said.CLOSED,
    "PAYERROR": Said.DECLINED,
}
_SAID_OF_REFUND: Final = {
    "SUCCESS": Said.SUCCEEDED,
    "PROCESSING": Said.PENDING,
    "CLOSED": Said.DECLINED,
    "ABNORMAL": Said.DECLINED,
}
_DECLINES: Final = {
    "NOT_ENOUGH": Decline.INSUFFICIENT_FUNDS,
    "NOTENOUGH": Decline.INSUFFICIENT_FUNDS,
    "RULE_LIMIT": Decline.LIMIT_EXCEEDED,
    "RULELIMIT": Decline.LIMIT_EXCEEDED,
    "TRADE_ERROR": Decline.DO_NOT_HONOR,
    "PAYERROR": Decline.DO_NOT_HONOR,
    "AUTH_CODE_EXPIRE": Decline.EXPIRED_CARD,
    "AUTHCODEEXPIRE": Decline.EXPIRED_CARD,
    "AUTH_CODE_INVALID": Decline.INVALID_CARD,
    "NO_AUTH": Decline.NOT_PERMITTED,
    "ACCOUNT_ERROR": Decline.ACCOUNT_CLOSED,
    "ACCOUNTERROR": Decline.ACCOUNT_CLOSED,
    "USER_ACCOUNT_ABNORMAL": Decline.ACCOUNT_CLOSED,
    "PARAM_ERROR": Decline.INVALID_REQUEST,
    "INVALID_REQUEST": Decline.INVALID_REQUEST,
    "APPID_MCHID_NOT_MATCH": Decline.INVALID_REQUEST,
    "MCH_NOT_EXISTS": Decline.INVALID_REQUEST,
}
_NOT_FOUND: Final = frozenset({"ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"})
_CLOSED: Final = frozenset({"ORDER_CLOSED", "ORDERCLOSED"})
_PAID: Final = frozenset({"ORDERPAID", "ORDER_PAID"})
# They say that the request was not taken, not that nothing was charged under its number.
_PROVES_NOTHING: Final = frozenset(
    {"SIGN_ERROR", "OUT_TRADE_NO_USED", "USERPAYING", "SYSTEM_ERROR", "SYSTEMERROR", "BANKERROR"}
)


class WeChatChannel:
    """A merchant's own connection to WeChat Pay v3.

    Parameters
    ----------
    settings : `url`, `mchid`, `appid`, `merchant_serial`, `merchant_private_key` (PEM),
        `apiv3_key`, and `platform_certificates`: PEM blocks, all of them believed; a certificate
        that is not among them is fetched from the platform, at most once a minute
    timeout : seconds
    """

    def __init__(self, code: str, settings: Mapping[str, str], timeout: float) -> None:
        self._code = code
        self._mchid, self._appid = settings["mchid"], settings["appid"]
        self._serial = settings["merchant_serial"]
        self._key = signing.private_key(settings["merchant_private_key"])
        self._box = AESGCM(settings["apiv3_key"].encode())
        pems = signing.blocks(settings.get("platform_certificates", ""))
        self._platform = dict(_certified(pem) for pem in pems)
        self._looked_at = float("-inf")
        self._looking = Lock()
        self._caller = Caller(settings["url"], timeout)
        self._disbelief = Disbelief(code)

    @property
    def code(self) -> str:
        """Its name with us."""
        return self._code

    def close(self) -> None:
        """Close the connections."""
        self._caller.close()

    def pay(self, request: PayRequest) -> Finding:
        """Ask for a payment: by the payer's code at once, else an order that he pays in the app."""
        if request.currency != "CNY":
            return Finding(
                said=Said.DECLINED, code="currency_not_taken", decline=Decline.NOT_PERMITTED
            )
        kind, payer = _kind_of(request)
        told: dict[str, Any] = {
            "appid": self._appid,
            "mchid": self._mchid,
            "description": request.subject[:127],
            "out_trade_no": request.number,
            "amount": {"total": request.amount_minor, "currency": request.currency},
        }
        if payer:
            told["payer"] = payer
        if request.notify_url is not None and kind != "codepay":
            told["notify_url"] = request.notify_url
        if request.expires_at is not None:
            ends = request.expires_at.astimezone(_BEIJING)
            told["time_expire"] = ends.isoformat(timespec="seconds")
        if "attach" in request.details:
            told["attach"] = request.details["attach"]
        if "client_ip" in request.details:
            told["scene_info"] = {"payer_client_ip": request.details["client_ip"]}
        answered = self._send("POST", f"/v3/pay/transactions/{kind}", told)
        missing = no_answer(answered, is_first_word=True)
        if missing is not None:
            return missing
        read = self._read(answered)
        if isinstance(read, Finding):
            return read
        if answered.status >= 300:
            return self._refused(read, _query_of(request))
        if "trade_state" in read:
            return self._transaction(read, request.number)
        if read.get("code") == "USERPAYING":
            return Finding(said=Said.PENDING, code="USERPAYING")
        action = self._action(read)
        return unknown("answer_unreadable") if action is None else action

    def query(self, query: Query) -> Finding:
        """Ask what became of a payment or refund."""
        if query.of_refund:
            path = f"/v3/refund/domestic/refunds/{query.number}"
        else:
            path = f"/v3/pay/transactions/out-trade-no/{query.number}?mchid={self._mchid}"
        answered = self._send("GET", path)
        missing = no_answer(answered, is_first_word=False)
        if missing is not None:
            return missing
        read = self._read(answered)
        if isinstance(read, Finding):
            return read
        if answered.status >= 300:
            found = str(read.get("code")) in _NOT_FOUND
            return Finding(said=Said.NOT_FOUND) if found else unknown(_code(read))
        if query.of_refund:
            return _refund(read, query.number)
        return self._transaction(read, query.number)

    def refund(self, request: RefundRequest) -> Finding:
        """Ask for a refund."""
        told: dict[str, Any] = {
            "out_trade_no": request.payment_number,
            "out_refund_no": request.number,
            "amount": {
                "refund": request.amount_minor,
                "total": request.total_minor,
                "currency": request.currency,
            },
        }
        if request.reason:
            told["reason"] = request.reason[:80]
        answered = self._send("POST", "/v3/refund/domestic/refunds", told)
        missing = no_answer(answered, is_first_word=True)
        if missing is not None:
            return missing
        read = self._read(answered)
        if isinstance(read, Finding):
            return read
        if answered.status >= 300:
            return self._refused(read, None)
        return _refund(read, request.number)

    def cancel(self, query: Query) -> Finding:
        """Ask that an order be closed; of one that was paid, the truth is told instead."""
        path = f"/v3/pay/transactions/out-trade-no/{query.number}/close"
        answered = self._send("POST", path, {"mchid": self._mchid})
        missing = no_answer(answered, is_first_word=False)
        if missing is not None:
            return missing
        if not self._is_signed(answered):
            return unknown("bad_signature")
        if answered.status == 204:
            return Finding(said=Said.CLOSED)
        read = self._read(answered)
        if isinstance(read, Finding):
            return read
        code = _code(read)
        if code in _PAID:
            return self.query(query)
        if code in _CLOSED:
            return Finding(said=Said.CLOSED)
        return Finding(said=Said.NOT_FOUND) if code in _NOT_FOUND else unknown("close_refused")

    def parse_notice(self, raw: RawNotice, now: datetime) -> Notice:
        """Check, open and read a notice.

        Refusals
        --------
        notice_is_not_believed
        """
        self._disbelief.check_size(raw)
        headers = small_names(raw.headers)
        if not self._fits(headers, raw.body):
            raise self._disbelief("signature")
        self._disbelief.check_age(int(headers["wechatpay-timestamp"]), now)
        try:
            told = json.loads(raw.body)
            resource = told["resource"]
            inner = json.loads(self._open(resource))
            is_refund = resource.get("original_type") == "refund" or "refund_status" in inner
            number = str(inner["out_refund_no" if is_refund else "out_trade_no"])
            mchid, notice_id = inner["mchid"], str(told["id"])
        except (ValueError, KeyError, TypeError, InvalidTag) as error:
            raise self._disbelief("form") from error
        if mchid != self._mchid or inner.get("appid", self._appid) != self._appid:
            raise self._disbelief("another_merchant")
        finding = _refund(inner, number) if is_refund else self._transaction(inner, number)
        return Notice(
            id=notice_id,
            number=number,
            of_refund=is_refund,
            finding=finding,
            reply=REPLY,
            reply_type="application/json",
        )

    def statement(self, on: date) -> StatementFile | None:
        """Fetch the trade bill of a day; what does not have its hash is no statement."""
        path = f"/v3/bill/tradebill?bill_date={on.isoformat()}&bill_type=ALL&tar_type=GZIP"
        answered = self._send("GET", path)
        read = self._read(answered) if answered.status == 200 else None
        if not isinstance(read, dict):
            return None
        try:
            url, wanted = str(read["download_url"]), str(read["hash_value"])
        except KeyError:
            return None
        fetched = self._fetch(url)
        if fetched is None or _sha1(fetched) != wanted.lower():
            return None
        return StatementFile(name=f"{self._code}-{on.isoformat()}.csv", content=fetched, form=FORM)

    def _fetch(self, url: str) -> bytes | None:
        _, _, rest = url.partition("://")
        path = "/" + rest.partition("/")[2]
        answered = self._caller.send("GET", url, headers=self._headers("GET", path, ""))
        if answered.missing or answered.status != 200:
            return None
        if not answered.body.startswith(b"\x1f\x8b"):
            return answered.body
        try:
            return gzip.decompress(answered.body)
        except (OSError, EOFError, zlib.error):
            return None

    def _send(self, method: str, path: str, told: dict[str, Any] | None = None) -> Answered:
        body = "" if told is None else json.dumps(told, ensure_ascii=False)
        return self._caller.send(method, path, body.encode(), self._headers(method, path, body))

    def _headers(self, method: str, path: str, body: str) -> dict[str, str]:
        at, nonce = str(int(time.time())), secrets.token_hex(16)
        signature = signing.sign(self._key, f"{method}\n{path}\n{at}\n{nonce}\n{body}\n")
        return {
            "accept": "application/json",
            "content-type": "application/json",
            "authorization": f'{_SCHEME} mchid="{self._mchid}",nonce_str="{nonce}",'
            f'signature="{signature}",timestamp="{at}",serial_no="{self._serial}"',
        }

    def _read(self, answered: Answered) -> dict[str, Any] | Finding:
        """Return a signed JSON object, or the finding that there is none."""
        if not self._is_signed(answered):
            return unknown("bad_signature")
        return _object(answered.body)

    def _is_signed(self, answered: Answered) -> bool:
        headers = small_names(answered.headers)
        if not self._fits(headers, answered.body):
            return False
        return abs(time.time() - int(headers["wechatpay-timestamp"])) <= SKEW_SECONDS

    def _fits(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether a certificate of the platform signed it."""
        at, serial = headers.get("wechatpay-timestamp", ""), headers.get("wechatpay-serial", "")
        if not at.isdecimal() or not serial:
            return False
        key = self._platform_key(serial)
        if key is None:
            return False
        text = f"{at}\n{headers.get('wechatpay-nonce', '')}\n".encode() + body + b"\n"
        return signing.fits(key, text, headers.get("wechatpay-signature", ""))

    def _platform_key(self, serial: str) -> RSAPublicKey | None:
        """Return the key of a certificate; one not known yet is looked for at the platform."""
        serial = serial.upper().lstrip("0")
        if serial not in self._platform and self._looking.acquire(timeout=_LOOKING_SECONDS):
            try:
                self._look_for_certificates()
            finally:
                self._looking.release()
        return self._platform.get(serial)

    def _look_for_certificates(self) -> None:
        """Fetch the certificates; they are sealed with the key that only we and they have."""
        if time.monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
            return
        self._looked_at = time.monotonic()
        answered = self._send("GET", "/v3/certificates")
        if answered.missing or answered.status != 200:
            return
        now = datetime.now(UTC)
        try:
            for one in json.loads(answered.body)["data"]:
                if datetime.fromisoformat(one["expire_time"]) > now:
                    pem = self._open(one["encrypt_certificate"]).decode()
                    self._platform.update([_certified(pem)])
        except (ValueError, KeyError, TypeError, InvalidTag):
            return

    def _open(self, sealed: Mapping[str, Any]) -> bytes:
        return self._box.decrypt(
            str(sealed["nonce"]).encode(),
            base64.b64decode(str(sealed["ciphertext"])),
            str(sealed.get("associated_data") or "").encode(),
        )

    def _refused(self, read: dict[str, Any], query: Query | None) -> Finding:
        """Return what a signed no says; of what was paid before, how it stands."""
        code = _code(read)
        if code in _PAID and query is not None:
            return self.query(query)
        if code in _CLOSED:
            return Finding(said=Said.CLOSED, code=code)
        if code in _NOT_FOUND:
            return Finding(said=Said.NOT_FOUND, code=code)
        if code in _PROVES_NOTHING or not code:
            return unknown(code.lower() or "answer_unreadable")
        return Finding(said=Said.DECLINED, code=code, decline=_decline(read, code))

    def _transaction(self, read: dict[str, Any], number: str) -> Finding:
        if read.get("out_trade_no") != number:
            return unknown("another_number")
        if read.get("mchid") != self._mchid:
            return unknown("another_merchant")
        said, state = _SAID.get(str(read.get("trade_state"))), str(read.get("trade_state"))
        amount, at = read.get("amount") or {}, read.get("success_time")
        try:
            happened = datetime.fromisoformat(at).astimezone(UTC) if at else None
            currency = amount.get("currency")
            total = _whole(amount["total"]) if "total" in amount else None
        except (ValueError, TypeError, AttributeError):
            return unknown("answer_unreadable")
        if said is None:
            return unknown("answer_unreadable")
        is_no = said is Said.DECLINED
        return Finding(
            said=said,
            amount_minor=total,
            currency=currency,
            reference=read.get("transaction_id"),
            code=state if is_no else None,
            decline=Decline.DO_NOT_HONOR if is_no else None,
            at=happened,
        )

    def _action(self, read: dict[str, Any]) -> Finding | None:
        """Return what the payer has to do with an order that was placed."""
        if "code_url" in read:
            action = {"kind": "qr", "url": str(read["code_url"])}
        elif "h5_url" in read:
            action = {"kind": "redirect", "url": str(read["h5_url"])}
        elif "prepay_id" in read:
            at, nonce = str(int(time.time())), secrets.token_hex(16)
            package = f"prepay_id={read['prepay_id']}"
            action = {
                "kind": "wait",
                "appId": self._appid,
                "timeStamp": at,
                "nonceStr": nonce,
                "package": package,
                "signType": "RSA",
                "paySign": signing.sign(self._key, f"{self._appid}\n{at}\n{nonce}\n{package}\n"),
            }
        else:
            return None
        return Finding(said=Said.ACTION, action=action)


def _kind_of(request: PayRequest) -> tuple[str, dict[str, str]]:
    """Return which order it is, and what is told of the payer."""
    details = request.details
    if "auth_code" in details:
        return "codepay", {"auth_code": details["auth_code"]}
    openid = details.get("openid")
    if openid is None and request.method is Method.WALLET:
        openid = request.instrument
    if openid is not None:
        return "jsapi", {"openid": openid}
    return ("h5" if details.get("page") == "h5" else "native"), {}


def _query_of(request: PayRequest) -> Query:
    return Query(number=request.number, reference=None, sent_at=request.sent_at)


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _code(read: Mapping[str, Any]) -> str:
    return str(read.get("code") or "")


def _decline(read: Mapping[str, Any], code: str) -> Decline:
    """Return the reason in our list; some banks' words stand in the detail."""
    detail = read.get("detail")
    issue = detail.get("issue") if isinstance(detail, dict) else None
    if isinstance(issue, str) and issue in Decline.__members__.values():
        return Decline(issue)
    return _DECLINES.get(code, Decline.OTHER)


def _refund(read: Mapping[str, Any], number: str) -> Finding:
    if read.get("out_refund_no") != number:
        return unknown("another_number")
    state = str(read.get("status") or read.get("refund_status"))
    said = _SAID_OF_REFUND.get(state)
    try:
        amount, at = read["amount"], read.get("success_time")
        refunded, currency = _whole(amount["refund"]), amount.get("currency")
        happened = datetime.fromisoformat(at).astimezone(UTC) if at else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return unknown("answer_unreadable")
    if said is None:
        return unknown("answer_unreadable")
    is_no = said is Said.DECLINED
    no_account = Decline.ACCOUNT_CLOSED if state == "ABNORMAL" else Decline.OTHER
    return Finding(
        said=said,
        amount_minor=refunded,
        currency=currency,
        reference=read.get("refund_id"),
        code=state if is_no else None,
        decline=no_account if is_no else None,
        at=happened,
    )


def _object(body: bytes) -> dict[str, Any] | Finding:
    try:
        read = json.loads(body)
    except ValueError:
        return unknown("answer_unreadable")
    return read if isinstance(read, dict) else unknown("answer_unreadable")


def _certified(pem: str) -> tuple[str, RSAPublicKey]:
    serial, key = signing.certified_key(pem)
    return serial.lstrip("0"), key


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()

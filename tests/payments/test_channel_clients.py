"""The simulator's WeChat and Alipay in front of clients that others wrote, untouched."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import httpx
import pytest
import wechatpayv3
from alipay.aop.api import DefaultAlipayClient
from wechatpayv3 import core as wechat_core

from tests.payments.outside import Outside, mailbox, running_outside


@pytest.fixture(scope="module")
def world() -> Iterator[Outside]:
    with running_outside() as outside:
        yield outside


@pytest.fixture
def outside(world: Outside) -> Outside:
    world.forget()
    return world


def tomorrow(outside: Outside) -> str:
    """Let a day pass outside; return the day that is over, as it is called in Beijing."""
    now = datetime.now(UTC)
    outside.post("/clock", now=(now + timedelta(days=1)).isoformat())
    return (now + timedelta(hours=8)).date().isoformat()


@pytest.fixture
def wechat(outside: Outside) -> Any:
    given = outside.settings("wechat")
    # Its certificates are fetched when it is made, from an address that only a private field names.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wechat_core.Core, "_init_certificates", lambda self: None)
        client = wechatpayv3.WeChatPay(
            wechatpay_type=wechatpayv3.WeChatPayType.NATIVE,
            mchid=given["mchid"],
            private_key=given["merchant_private_key"],
            cert_serial_no=given["merchant_serial"],
            appid=given["appid"],
            apiv3_key=given["apiv3_key"],
            notify_url="http://127.0.0.1:9/unused",
            timeout=5,
        )
    client._core._gate_way = outside.url
    client._core._proxy = {"http": None}
    client._core._init_certificates()
    return client


def test_wechatpayv3_orders_pays_queries_closes_and_refunds(outside: Outside, wechat: Any) -> None:
    number = uuid4().hex
    code, message = wechat.pay(description="Tea 茶", out_trade_no=number, amount={"total": 10_000})
    assert code == 200
    assert json.loads(message)["code_url"].startswith("weixin://wxpay/")
    code, message = wechat.query(out_trade_no=number)
    assert (code, json.loads(message)["trade_state"]) == (200, "NOTPAY")
    outside.post("/payers", dialect="wechat", number=number)
    code, message = wechat.query(out_trade_no=number)
    paid = json.loads(message)
    assert (code, paid["trade_state"], paid["amount"]["total"]) == (200, "SUCCESS", 10_000)
    assert json.loads(wechat.query(transaction_id=paid["transaction_id"])[1]) == paid
    refund = uuid4().hex
    code, message = wechat.refund(
        out_refund_no=refund,
        out_trade_no=number,
        amount={"refund": 2_500, "total": 10_000, "currency": "CNY"},
    )
    assert (code, json.loads(message)["status"]) == (200, "SUCCESS")
    code, message = wechat.query_refund(refund)
    assert (code, json.loads(message)["amount"]["refund"]) == (200, 2_500)
    assert wechat.close(number)[0] == 400
    other = uuid4().hex
    wechat.pay(description="Tea", out_trade_no=other, amount={"total": 1})
    assert wechat.close(other)[0] == 204
    assert json.loads(wechat.query(out_trade_no=other)[1])["trade_state"] == "CLOSED"
    assert wechat.query(out_trade_no=uuid4().hex)[0] == 404
    too_much = {"refund": 9_000, "total": 10_000, "currency": "CNY"}
    again = wechat.refund(out_refund_no=uuid4().hex, out_trade_no=number, amount=too_much)
    assert again[0] == 400


def test_wechatpayv3_pays_by_code_and_reverses(outside: Outside, wechat: Any) -> None:
    number = uuid4().hex
    asked = {
        "description": "Tea",
        "out_trade_no": number,
        "amount": {"total": 500},
        "pay_type": wechatpayv3.WeChatPayType.CODEPAY,
        "scene_info": {"store_info": {"id": "1"}},
    }
    code, message = wechat.pay(**asked, payer={"auth_code": "130000000000000000"})
    assert (code, json.loads(message)["trade_state"]) == (200, "SUCCESS")
    code, message = wechat.codepay_reverse(number)
    assert (code, json.loads(message)["recall"]) == (200, "N")
    assert json.loads(wechat.query(out_trade_no=number)[1])["trade_state"] == "REVOKED"


def test_wechatpayv3_reads_notices_and_follows_a_new_certificate(
    outside: Outside, wechat: Any
) -> None:
    with mailbox() as box:
        number = uuid4().hex
        wechat.pay(description="Tea", out_trade_no=number, amount={"total": 88}, notify_url=box.url)
        outside.post("/payers", dialect="wechat", number=number)
        raw = box.take()
        told = wechat.callback(dict(raw.headers), raw.body)
        assert told["event_type"] == "TRANSACTION.SUCCESS"
        assert told["resource"]["out_trade_no"] == number
        outside.post("/keys", dialect="wechat")
        assert wechat.query(out_trade_no=number)[0] == 200
        again = outside.notice(box, "wechat", number)
        assert wechat.callback(dict(again.headers), again.body)["resource"]["mchid"]
        forged = outside.notice(box, "wechat", number, forged=True)
        assert wechat.callback(dict(forged.headers), forged.body) is None
        outside.quiet(box)


def test_wechatpayv3_downloads_the_bill_and_its_hash_fits(outside: Outside, wechat: Any) -> None:
    number = uuid4().hex
    wechat.pay(description="Tea, green", out_trade_no=number, amount={"total": 10_000})
    outside.post("/payers", dialect="wechat", number=number)
    refund = uuid4().hex
    amount = {"refund": 4_000, "total": 10_000, "currency": "CNY"}
    wechat.refund(out_refund_no=refund, out_trade_no=number, amount=amount)
    today = (datetime.now(UTC) + timedelta(hours=8)).date().isoformat()
    assert json.loads(wechat.trade_bill(today)[1])["code"] == "NO_STATEMENT_EXIST"
    day = tomorrow(outside)
    code, message = wechat.trade_bill(day)
    assert code == 200
    offered = json.loads(message)
    code, packed = wechat.download_bill(offered["download_url"])
    bill = gzip.decompress(packed)
    assert (code, hashlib.sha1(bill).hexdigest()) == (200, offered["hash_value"])
    rows = list(csv.reader(io.StringIO(bill.decode("utf-8-sig"))))
    assert (len(rows[0]), rows[0][0], rows[0][-1]) == (27, "交易时间", "费率备注")
    body = [dict(zip(rows[0], row, strict=True)) for row in rows[1:-2]]
    assert all(value.startswith("`") for row in body for value in row.values())
    mine = [row for row in body if row["商户订单号"] == f"`{number}"]
    assert [row["交易状态"] for row in mine] == ["`SUCCESS", "`REFUND"]
    assert [row["手续费"] for row in mine] == ["`0.60000", "`-0.24000"]
    assert mine[1]["商户退款单号"] == f"`{refund}"
    assert (mine[1]["退款金额"], mine[1]["应结订单金额"]) == ("`40.00", "`0.00")
    assert rows[-1][0] == f"`{len(body)}"


@pytest.fixture
def alipay(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> Any:
    from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
    from alipay.aop.api.util import WebUtils

    given = outside.settings("alipay")
    config = AlipayClientConfig()
    config.app_id = given["app_id"]
    config.app_private_key = given["app_private_key"]
    config.alipay_public_key = given["alipay_public_keys"]
    config.timeout = 5
    config.server_url = f"{outside.plain_url}/gateway.do"
    if outside.plain_url is None:
        # Of an address with a port this client makes none that can be called; nobody here may
        # listen at port 80, so the connection alone is made another way.
        def connect(url: str, query: str, timeout: float) -> tuple[str, Any]:
            parsed = httpx.URL(outside.url)
            connection = WebUtils.httplib.HTTPConnection(parsed.host, parsed.port, timeout=timeout)
            return f"/gateway.do?{query}", connection

        config.server_url = f"{outside.url}/gateway.do"
        monkeypatch.setattr(WebUtils, "get_http_connection", connect)
    return DefaultAlipayClient.DefaultAlipayClient(config)


def ask(client: Any, verb: str, **content: str) -> dict[str, Any]:
    """Send a request of the SDK, whose signature check passes or raises."""
    module = f"alipay.aop.api.request.AlipayTrade{verb}Request"
    kind = getattr(__import__(module, fromlist=["x"]), f"AlipayTrade{verb}Request")
    request = kind()
    request.biz_content = content
    if "notify_url" in content:
        request.notify_url = content.pop("notify_url")
    answer: dict[str, Any] = json.loads(client.execute(request))
    return answer


def test_alipay_sdk_pays_queries_refunds_and_cancels(outside: Outside, alipay: Any) -> None:
    number = uuid4().hex
    order = {"out_trade_no": number, "subject": "Tea 茶", "total_amount": "88.88"}
    paid = ask(alipay, "Pay", **order, scene="bar_code", auth_code="28763443825664394")
    assert (paid["code"], paid["total_amount"]) == ("10000", "88.88")
    queried = ask(alipay, "Query", out_trade_no=number)
    assert (queried["trade_status"], queried["trade_no"]) == ("TRADE_SUCCESS", paid["trade_no"])
    refund = uuid4().hex
    asked = {"out_trade_no": number, "out_request_no": refund}
    done = ask(alipay, "Refund", **asked, refund_amount="40.00")
    assert (done["fund_change"], done["refund_fee"]) == ("Y", "40.00")
    seen = ask(alipay, "FastpayRefundQuery", **asked)
    assert (seen["refund_status"], seen["refund_amount"]) == ("REFUND_SUCCESS", "40.00")
    too_much = ask(alipay, "Refund", out_trade_no=number, out_request_no="x", refund_amount="88.88")
    assert too_much["code"] == "40004"
    rest = ask(alipay, "Refund", out_trade_no=number, out_request_no="y", refund_amount="48.88")
    assert rest["refund_fee"] == "88.88"
    # A trade that was refunded whole is called closed.
    assert ask(alipay, "Query", out_trade_no=number)["trade_status"] == "TRADE_CLOSED"
    other = uuid4().hex
    order["out_trade_no"] = other
    assert ask(alipay, "Precreate", **order)["qr_code"].startswith("https://")
    assert ask(alipay, "Query", out_trade_no=other)["trade_status"] == "WAIT_BUYER_PAY"
    assert ask(alipay, "Close", out_trade_no=other)["code"] == "10000"
    third = uuid4().hex
    order["out_trade_no"] = third
    ask(alipay, "Pay", **order, scene="bar_code", auth_code="28763443825664394")
    assert ask(alipay, "Cancel", out_trade_no=third)["action"] == "refund"
    unknown = ask(alipay, "Query", out_trade_no=uuid4().hex)
    assert unknown["sub_code"] == "ACQ.TRADE_NOT_EXIST"


def test_alipay_sdk_believes_the_notice_and_the_bill_is_a_zip_of_gbk(
    outside: Outside, alipay: Any
) -> None:
    from alipay.aop.api.util.SignatureUtils import get_sign_content, verify_with_rsa

    number = uuid4().hex
    order = {"out_trade_no": number, "subject": "Tea 茶", "total_amount": "50.00"}
    with mailbox() as box:
        ask(alipay, "Precreate", **order, notify_url=box.url)
        outside.post("/payers", dialect="alipay", number=number)
        told = dict(parse_qsl(box.take().body.decode()))
        outside.quiet(box)
    sign, _ = told.pop("sign"), told.pop("sign_type")
    key = outside.settings("alipay")["alipay_public_keys"]
    assert verify_with_rsa(key, get_sign_content(told).encode(), sign)
    assert (told["trade_status"], told["total_amount"]) == ("TRADE_SUCCESS", "50.00")
    refund = uuid4().hex
    asked = {"out_trade_no": number, "out_request_no": refund, "refund_amount": "20.00"}
    ask(alipay, "Refund", **asked)
    day = tomorrow(outside)
    from alipay.aop.api.request.AlipayDataDataserviceBillDownloadurlQueryRequest import (
        AlipayDataDataserviceBillDownloadurlQueryRequest as BillRequest,
    )

    request = BillRequest()
    request.biz_content = {"bill_type": "trade", "bill_date": day}
    url = json.loads(alipay.execute(request))["bill_download_url"]
    packed = zipfile.ZipFile(io.BytesIO(httpx.get(url, trust_env=False).content))
    assert packed.testzip() is None
    infos = packed.infolist()
    assert len(infos) == 2
    assert all(info.flag_bits & 0x800 == 0 for info in infos)
    assert infos[0].filename.encode("cp437").decode("gbk").endswith("业务明细.csv")
    lines = packed.read(infos[0]).decode("gbk").splitlines()
    assert [line[0] for line in lines[:4]] == ["#"] * 4
    columns = lines[4].split(",")
    rows = [dict(zip(columns, line.split(","), strict=True)) for line in lines[5:-4]]
    mine = [row for row in rows if row["商户订单号"] == f"{number}\t"]
    assert [row["业务类型"] for row in mine] == ["交易", "退款"]
    assert [row["商家实收（元）"] for row in mine] == ["50.00", "-20.00"]
    assert [row["服务费（元）"] for row in mine] == ["-0.30", "0.12"]
    assert mine[1]["退款批次号/请求号"] == f"{refund}\t"

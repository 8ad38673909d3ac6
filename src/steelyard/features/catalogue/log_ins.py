"""Log-ins and sign-ups: guessing, takeover, strange devices and places, farms of accounts."""

from __future__ import annotations

from steelyard.features.catalogue.words import Family, is_, shares
from steelyard.features.model.definition import Aggregate, Feature

_A = Aggregate
_LOG_IN = ("log_in",)
_SIGN_UP = ("sign_up",)
_FAILED = is_("succeeded", False)
_SUCCEEDED = is_("succeeded", True)


def _customer() -> list[Feature]:
    tries = Family("customer", _LOG_IN, "log_in")
    failed = Family("customer", _LOG_IN, "failed_log_in", where=_FAILED)
    counts = tries.each(_A.COUNT, "1h 1d", ("Log-ins of the customer", "客户登录次数"))
    fails = failed.each(
        _A.COUNT, "10m 1h 1d", ("Failed log-ins of the customer", "客户登录失败次数")
    )
    return [
        *counts,
        *fails,
        *shares(
            "failed_log_in_share", fails[1:], counts, ("Share of failed log-ins", "登录失败占比")
        ),
        *Family("customer", _LOG_IN, "log_in_device").each(
            _A.DISTINCT,
            "7d",
            ("Devices that tried to sign in as the customer", "客户登录设备数"),
            "device",
        ),
        *Family("customer", _LOG_IN, "log_in_country").each(
            _A.DISTINCT,
            "1d",
            ("Countries from which somebody tried to sign in as the customer", "客户登录国家数"),
            "country",
        ),
        *Family("customer", _LOG_IN, "log_in_ip").each(
            _A.DISTINCT,
            "1d",
            ("Addresses from which somebody tried to sign in as the customer", "客户登录 IP 数"),
            "ip",
        ),
        *Family("customer", _LOG_IN, "log_in_hour", where=_SUCCEEDED, before=True).each(
            _A.ZSCORE,
            "30d",
            (
                "This hour of the day against the customer's earlier log-ins, in deviations",
                "本次时刻相对客户登录习惯的偏离倍数",
            ),
            "hour",
        ),
        Family("customer", _LOG_IN, "log_in", where=_SUCCEEDED, before=True).ever(
            _A.TIME_SINCE,
            ("Milliseconds since the customer signed in before this", "距客户上次成功登录毫秒数"),
        ),
        Family("customer", _LOG_IN, "log_in_country", where=_SUCCEEDED, before=True).ever(
            _A.LAST,
            ("Country of the customer's log-in before this", "客户上次成功登录国家"),
            "country",
        ),
        *Family("customer", _LOG_IN, "takeover").each(
            _A.SUM,
            "90d",
            ("Log-ins known as takeover of the customer's account", "客户已知盗号登录次数"),
            "is_takeover",
        ),
        Family("customer", _SIGN_UP, "sign_up").ever(
            _A.TIME_SINCE, ("Milliseconds since the customer was registered", "客户注册至今毫秒数")
        ),
    ]


def _means() -> list[Feature]:
    failed_ip = Family("ip", _LOG_IN, "failed_log_in", where=_FAILED)
    return [
        Family("customer_device", _LOG_IN, "log_in", where=_SUCCEEDED, before=True).ever(
            _A.FIRST_SEEN,
            (
                "Milliseconds since the customer first signed in with this device, missing if new",
                "距客户首次用该设备登录毫秒数，新设备缺失",
            ),
        ),
        *Family("customer_ip", _LOG_IN, "log_in", where=_SUCCEEDED, before=True).each(
            _A.COUNT,
            "30d",
            ("Earlier log-ins of the customer from this address", "客户此前从该 IP 登录次数"),
        ),
        *Family("customer_country", _LOG_IN, "log_in", where=_SUCCEEDED, before=True).each(
            _A.COUNT,
            "90d",
            ("Earlier log-ins of the customer from this country", "客户此前从该国家登录次数"),
        ),
        *Family("customer_hour", _LOG_IN, "log_in", where=_SUCCEEDED, before=True).each(
            _A.COUNT,
            "30d",
            ("Earlier log-ins of the customer in this hour of the day", "客户此前同一时段登录次数"),
        ),
        *Family("device", _LOG_IN, "failed_log_in", where=_FAILED).each(
            _A.COUNT, "1h", ("Failed log-ins from the device", "设备登录失败次数")
        ),
        *Family("device", _LOG_IN, "log_in_customer").each(
            _A.DISTINCT,
            "1d",
            ("Customers somebody tried to sign in as from the device", "设备登录客户数"),
            "customer",
        ),
        *failed_ip.each(
            _A.COUNT, "10m 1h", ("Failed log-ins from the address", "同一 IP 登录失败次数")
        ),
        *Family("ip", _LOG_IN, "log_in_customer").each(
            _A.DISTINCT,
            "1h",
            ("Customers somebody tried to sign in as from the address", "同一 IP 登录客户数"),
            "customer",
        ),
        *Family("device", _SIGN_UP, "sign_up").each(
            _A.COUNT, "7d", ("Customers registered from the device", "设备注册客户数")
        ),
        *Family("ip", _SIGN_UP, "sign_up").each(
            _A.COUNT, "1d", ("Customers registered from the address", "同一 IP 注册客户数")
        ),
    ]


FEATURES = (*_customer(), *_means())

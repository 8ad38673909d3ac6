"""What can be refused about endpoints and what is sent to them."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class WebhookEndpointIsUnknown(Refusal):
    """No endpoint has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no webhook endpoint {endpoint}."
    zh = "Webhook 端点 {endpoint} 不存在。"


class WebhookEndpointIsMalformed(Refusal):
    """The endpoint cannot be."""

    kind = RefusalKind.INVALID
    en = "The webhook endpoint cannot be: {reason}."
    zh = "Webhook 端点无效：{reason}。"


class WebhookEndpointStateForbids(Refusal):
    """The verb does not go with the state of the endpoint."""

    kind = RefusalKind.CONFLICT
    en = "Webhook endpoint {endpoint} is {state}: it cannot be {verb}."
    zh = "Webhook 端点 {endpoint} 的状态为 {state}，不能执行 {verb}。"


class WebhookAddressIsForbidden(Refusal):
    """The address is not one of the open internet, where only merchants' servers are called."""

    kind = RefusalKind.INVALID
    en = "Nothing is sent to {host}: {reason}."
    zh = "不向 {host} 发送通知：{reason}。"


class WebhookEndpointsAreTooMany(Refusal):
    """An app hears through some endpoints, not through any number of them."""

    kind = RefusalKind.CONFLICT
    en = "An app has at most {most} webhook endpoints."
    zh = "每个应用最多 {most} 个 Webhook 端点。"


class WebhookEventIsUnknown(Refusal):
    """No event has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no event {event}."
    zh = "事件 {event} 不存在。"


class WebhookDeliveryIsUnknown(Refusal):
    """No delivery has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no webhook delivery {delivery}."
    zh = "Webhook 投递 {delivery} 不存在。"


class WebhookDeliveryIsUnderWay(Refusal):
    """It is sent without anybody's asking."""

    kind = RefusalKind.CONFLICT
    en = "Webhook delivery {delivery} is {state}: it is sent by itself."
    zh = "Webhook 投递 {delivery} 的状态为 {state}，将自动发送。"

"""Routes of payments."""

from steelyard.payments.http.apps import router as app_router
from steelyard.payments.http.batches import router as debit_batch_router
from steelyard.payments.http.bindings import router as binding_router
from steelyard.payments.http.capturing import router as capture_router
from steelyard.payments.http.cashier import router as cashier_router
from steelyard.payments.http.channel_life import router as channel_router
from steelyard.payments.http.clearing import router as clearing_router
from steelyard.payments.http.codes import router as code_router
from steelyard.payments.http.corporate import router as corporate_router
from steelyard.payments.http.crossborder import router as cross_border_router
from steelyard.payments.http.debits import router as debit_router
from steelyard.payments.http.degraded import router as degraded_router
from steelyard.payments.http.disputes import router as dispute_router
from steelyard.payments.http.fees import router as fee_router
from steelyard.payments.http.fx import router as fx_router
from steelyard.payments.http.limits import router as limit_router
from steelyard.payments.http.mandates import router as mandate_router
from steelyard.payments.http.merchants import router as merchant_router
from steelyard.payments.http.monitoring import router as monitoring_router
from steelyard.payments.http.notices import router as notice_router
from steelyard.payments.http.orders import router as order_router
from steelyard.payments.http.recon import router as recon_router
from steelyard.payments.http.refunds import router as refund_router
from steelyard.payments.http.reports import router as report_router
from steelyard.payments.http.routing import router as routing_router
from steelyard.payments.http.settlement import router as settlement_router
from steelyard.payments.http.stripe import router as stripe_router
from steelyard.payments.http.tieout import router as tie_out_router
from steelyard.payments.http.transfers import router as transfer_router
from steelyard.payments.http.webhooks import router as webhook_router

__all__ = [
    "app_router",
    "binding_router",
    "capture_router",
    "cashier_router",
    "channel_router",
    "clearing_router",
    "code_router",
    "corporate_router",
    "cross_border_router",
    "debit_batch_router",
    "debit_router",
    "degraded_router",
    "dispute_router",
    "fee_router",
    "fx_router",
    "limit_router",
    "mandate_router",
    "merchant_router",
    "monitoring_router",
    "notice_router",
    "order_router",
    "recon_router",
    "refund_router",
    "report_router",
    "routing_router",
    "settlement_router",
    "stripe_router",
    "tie_out_router",
    "transfer_router",
    "webhook_router",
]

"""stripe-python makes payments against the simulator at SIM, and looks at the objects that it gets."""

import json
import os
import sys
import urllib.request

import stripe
from stripe import StripeClient

SIM = os.environ["SIM"]
# A client that is not told so never retries, whatever the default of the module.
client = StripeClient("sk_test_sim", base_addresses={"api": SIM, "files": SIM}, max_network_retries=2)
stripe_v1 = client.v1
checks = 0


def same(seen, expected, what):
    global checks
    checks += 1
    if seen != expected:
        sys.exit(f"FAILED {what}: seen {seen!r}, expected {expected!r}")


def sim(name, value=None):
    body = None if value is None else json.dumps(value).encode()
    with urllib.request.urlopen(f"{SIM}/_sim/{name}", body) as answer:
        return json.load(answer)


def raises(error, call, what):
    global checks
    checks += 1
    try:
        call()
    except error as raised:
        return raised
    sys.exit(f"FAILED {what}: no {error.__name__}")


def payment(order, card="pm_card_visa", **more):
    return {
        "amount": 1099,
        "currency": "eur",
        "confirm": True,
        "payment_method": card,
        "metadata": {"order": order},
        **more,
    }


# Customer.
customer = stripe_v1.customers.create({"email": "jo@example.com", "metadata": {"order": "customer"}})
same(type(customer), stripe.Customer, "type of a customer")
same(customer.email, "jo@example.com", "email")
same(stripe_v1.customers.retrieve(customer.id).metadata["order"], "customer", "metadata")
same(stripe_v1.customers.update(customer.id, {"name": "Jo"}).name, "Jo", "name")

# Create and confirm, and the same again with the same key.
params = payment("paid", customer=customer.id)
keyed = {"idempotency_key": "python-paid"}
paid = stripe_v1.payment_intents.create(params, keyed)
same((type(paid), paid.status, paid.amount_received), (stripe.PaymentIntent, "succeeded", 1099), "payment")
same(paid.livemode, False, "mode")
again = stripe_v1.payment_intents.create(params, keyed)
same(again.id, paid.id, "replayed payment")
same(again.last_response.headers["idempotent-replayed"], "true", "mark of the replay")
same(again.last_response.headers["original-request"], paid.last_response.request_id, "original request")
same(again.last_response.request_id != paid.last_response.request_id, True, "its own request id")
error = raises(
    stripe.IdempotencyError,
    lambda: stripe_v1.payment_intents.create({**params, "amount": 1100}, keyed),
    "other parameters with the same key",
)
same(error.http_status, 400, "its status")

# Decline, its replay, 3D Secure.
declined = payment("declined", "pm_card_chargeDeclinedInsufficientFunds")
for attempt in ("first", "replayed"):
    error = raises(
        stripe.CardError,
        lambda: stripe_v1.payment_intents.create(declined, {"idempotency_key": "python-declined"}),
        f"decline, {attempt}",
    )
    same((error.http_status, error.code), (402, "card_declined"), "code")
    same(error.error.decline_code, "insufficient_funds", "decline code")
    same(error.error.payment_intent.status, "requires_payment_method", "payment that was declined")
    same(error.headers.get("idempotent-replayed"), None if attempt == "first" else "true", "mark of the replay")
challenged = stripe_v1.payment_intents.create(payment("3ds", "pm_card_authenticationRequired"))
same(challenged.status, "requires_action", "3D Secure")
same(challenged.next_action.type, "use_stripe_sdk", "next action")
same(sim("authenticate", {"payment_intent": challenged.id, "passed": True}), {"done": True}, "authentication")
same(stripe_v1.payment_intents.retrieve(challenged.id).status, "succeeded", "after 3D Secure")

# Retrieve, expanded and missing.
expanded = stripe_v1.payment_intents.retrieve(paid.id, {"expand": ["latest_charge", "customer"]})
same((type(expanded.latest_charge), expanded.latest_charge.paid), (stripe.Charge, True), "expanded charge")
same(type(expanded.customer), stripe.Customer, "expanded customer")
error = raises(
    stripe.InvalidRequestError, lambda: stripe_v1.payment_intents.retrieve("pi_gone"), "missing payment"
)
same((error.http_status, error.code), (404, "resource_missing"), "code")
stranger = StripeClient("sk_test_stranger", base_addresses={"api": SIM})
error = raises(stripe.AuthenticationError, lambda: stranger.v1.customers.list(), "unknown API key")
same(error.http_status, 401, "its status")

# Lists, page by page.
listed = [stripe_v1.payment_intents.create(payment(f"list-{n}", customer=customer.id)).id for n in range(5)]
page = stripe_v1.payment_intents.list({"limit": 2, "customer": customer.id})
same((type(page), len(page.data), page.has_more), (stripe.ListObject, 2, True), "first page")
ids = [intent.id for intent in page.auto_paging_iter()]
same(ids, [*reversed(listed), paid.id], "all pages, newest first")
before = stripe_v1.payment_intents.list({"limit": 2, "ending_before": ids[3], "customer": customer.id})
same([intent.id for intent in before.data], ids[1:3], "the page before")

# Capture, cancel, refund.
held = stripe_v1.payment_intents.create(payment("held", capture_method="manual"))
same((held.status, held.amount_capturable), ("requires_capture", 1099), "held payment")
captured = stripe_v1.payment_intents.capture(held.id, {"amount_to_capture": 1000})
same((captured.status, captured.amount_received), ("succeeded", 1000), "captured payment")
dropped = stripe_v1.payment_intents.create(payment("dropped", capture_method="manual"))
same(stripe_v1.payment_intents.cancel(dropped.id).status, "canceled", "cancelled payment")
refund = stripe_v1.refunds.create({"payment_intent": paid.id, "amount": 99, "metadata": {"order": "refund"}})
same((type(refund), refund.status, refund.amount), (stripe.Refund, "succeeded", 99), "refund")
same(stripe_v1.refunds.create({"payment_intent": paid.id}).amount, 1000, "refund of the rest")
same(stripe_v1.charges.retrieve(paid.latest_charge).refunded, True, "refunded charge")
error = raises(
    stripe.InvalidRequestError, lambda: stripe_v1.refunds.create({"payment_intent": paid.id}), "refund too many"
)
same(error.code, "charge_already_refunded", "code")

# Search.
found = stripe_v1.payment_intents.search({"query": "metadata['order']:'paid'"})
same((type(found), [intent.id for intent in found.data]), (stripe.SearchResultObject, [paid.id]), "search")

# What the library does by itself when the answer is lost, and when the object is locked.
sim("script", {"order": "lost", "steps": [{"fault": "F3"}]})
lost = stripe_v1.payment_intents.create(payment("lost"))
same((lost.status, lost.last_response.headers["idempotent-replayed"]), ("succeeded", "true"), "lost answer")
sim("script", {"order": "locked", "steps": [{"answer": {"kind": "lock_timeout"}}]})
same(stripe_v1.payment_intents.create(payment("locked")).status, "succeeded", "lock")

ledger = sim("ledger")
same(ledger["charged_twice"], [], "orders that were charged twice")
same({ledger["orders"][order]["executions"] for order in ("paid", "lost", "locked")}, {1}, "executions")
same(ledger["orders"]["declined"], {"executions": 0, "declines": 1}, "declines")
print(f"stripe-python {stripe.VERSION}: {checks} checks passed")

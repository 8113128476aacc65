"""stripe-python, unmodified, makes payments through the sidecar at EGRESS to the simulator at SIM, where much fails."""

import json
import os
import sys
import tempfile
import time
import urllib.request

import stripe
from stripe import StripeClient

SIM, EGRESS, ADMIN = (os.environ[name] for name in ("SIM", "EGRESS", "ADMIN"))
bases = {"api": EGRESS, "files": EGRESS, "connect": EGRESS, "meter_events": EGRESS}
v1 = StripeClient("sk_test_sim", base_addresses=bases, max_network_retries=0).v1
checks = 0


def same(seen, expected, what):
    global checks
    checks += 1
    if seen != expected:
        sys.exit(f"FAILED {what}: seen {seen!r}, expected {expected!r}")


def load(url, value=None):
    body = None if value is None else json.dumps(value).encode()
    with urllib.request.urlopen(url, body) as answer:
        return json.load(answer)


def raises(error, call, what):
    global checks
    checks += 1
    try:
        call()
    except error as raised:
        return raised
    sys.exit(f"FAILED {what}: no {error.__name__}")


def known(response, what):
    """The request id that came with the object is one that the simulator gave."""
    ids = {seen["request_id"] for seen in load(f"{SIM}/_sim/log")["requests"]}
    same(response.request_id in ids, True, f"request id of {what}")
    same(response.headers["x-stripe-egress-certainty"], "executed", f"certainty of {what}")
    same(int(response.headers["x-stripe-egress-attempts"]) >= 1, True, f"attempts of {what}")


customer = v1.customers.create({"email": "jo@example.com", "metadata": {"order": "customer"}})
same((type(customer), customer.email), (stripe.Customer, "jo@example.com"), "customer")
known(customer.last_response, "the customer")

# Create, confirm, capture, refund: thirty times, since not every request suffers.
paid = []
for n in range(30):
    intent = v1.payment_intents.create(
        {
            "amount": 1099 + n,
            "currency": "eur",
            "customer": customer.id,
            "capture_method": "manual",
            "metadata": {"order": f"python-{n}"},
        }
    )
    same(intent.status, "requires_payment_method", "created")
    held = v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    same((held.status, held.amount_capturable), ("requires_capture", 1099 + n), "confirmed")
    captured = v1.payment_intents.capture(intent.id)
    same((captured.status, captured.amount_received), ("succeeded", 1099 + n), "captured")
    known(captured.last_response, "a capture")
    paid.append(intent.id)
refund = v1.refunds.create({"payment_intent": paid[0], "amount": 99, "metadata": {"order": "python-refund"}})
same((type(refund), refund.status, refund.amount), (stripe.Refund, "succeeded", 99), "refund")
known(refund.last_response, "the refund")

# All pages of a list.
pages = v1.payment_intents.list({"limit": 7, "customer": customer.id})
same([intent.id for intent in pages.auto_paging_iter()], paid[::-1], "all pages, newest first")

# A decline is the library's own error, with all that Stripe says of it.
error = raises(
    stripe.CardError,
    lambda: v1.payment_intents.create(
        {
            "amount": 500,
            "currency": "eur",
            "confirm": True,
            "payment_method": "pm_card_chargeDeclinedInsufficientFunds",
            "metadata": {"order": "python-declined"},
        }
    ),
    "decline",
)
same((error.http_status, error.code), (402, "card_declined"), "decline")
same(error.error.decline_code, "insufficient_funds", "decline code")
same(error.error.payment_intent.status, "requires_payment_method", "payment that was declined")
same(error.headers["x-stripe-egress-certainty"], "rejected", "certainty of the decline")
error = raises(stripe.InvalidRequestError, lambda: v1.payment_intents.retrieve("pi_gone"), "missing payment")
same((error.http_status, error.code), (404, "resource_missing"), "missing payment")

# An upload.
with tempfile.TemporaryFile(suffix=".txt") as evidence:
    evidence.write(b"receipt\n" * 1000)
    evidence.seek(0)
    file = v1.files.create({"purpose": "dispute_evidence", "file": evidence})
same((type(file), file.size, file.purpose), (stripe.File, 8000, "dispute_evidence"), "file")
known(file.last_response, "the file")

# What happened: much failed, and everything was executed once.
log, ledger = load(f"{SIM}/_sim/log")["requests"], load(f"{SIM}/_sim/ledger")
failed = [seen for seen in log if seen["status"] is None]
same(len(failed) >= 10, True, "a network that fails")
same(any(seen["replayed"] for seen in log), True, "answers that were lost and fetched again")
same(ledger["charged_twice"], [], "orders that were charged twice")
executed = {order: entry["executions"] for order, entry in ledger["orders"].items()}
same({executed[f"python-{n}"] for n in range(30)}, {1}, "executions of each order")
same(ledger["orders"]["python-declined"], {"executions": 0, "declines": 1}, "declines")

# Where the stack refuses, the library raises an error of its own, and does not try again, though it may.
eager = StripeClient("sk_test_sim", base_addresses=bases, max_network_retries=3).v1
load(f"{SIM}/_sim/scenario", {"phases": [{"script": "outage", "lasts_ms": 600000}]})
for _ in range(500):
    time.sleep(0.02)
    error = raises(stripe.APIError, lambda: v1.customers.retrieve(customer.id), "outage")
    # This library has a code of its own only for some kinds of errors, and Stripe's object for all.
    if error.error.code == "egress_circuit_open":
        break
same((error.http_status, error.error.code), (503, "egress_circuit_open"), "open circuit")
before = load(f"{ADMIN}/status")["calls"]["total"]
error = raises(stripe.APIError, lambda: eager.customers.retrieve(customer.id), "open circuit")
same((error.error.code, error.headers["x-stripe-egress-certainty"]), ("egress_circuit_open", "not_sent"), "certainty")
same(load(f"{ADMIN}/status")["calls"]["total"] - before, 1, "calls of a library that may retry three times")

total = len(log)
print(f"stripe-python {stripe.VERSION}: {checks} checks passed; {len(failed)} of {total} requests failed, 0 charged twice")

// stripe-node makes payments against the simulator at SIM, and looks at the objects that it gets.
"use strict";

const assert = require("node:assert/strict");
const Stripe = require("stripe");

const SIM = process.env.SIM;
const { hostname, port } = new URL(SIM);
const client = (key) => new Stripe(key, { host: hostname, port, protocol: "http" });
const stripe = client("sk_test_sim");
let checks = 0;

const same = (seen, expected, what) => {
    checks += 1;
    assert.deepEqual(seen, expected, `${what}: seen ${JSON.stringify(seen)}, expected ${JSON.stringify(expected)}`);
};

const sim = async (name, value) => {
    const body = value && { method: "POST", body: JSON.stringify(value) };
    return (await fetch(`${SIM}/_sim/${name}`, body)).json();
};

const raises = async (type, call, what) => {
    checks += 1;
    const error = await call().then(() => assert.fail(`${what}: no ${type}`), (error) => error);
    assert.equal(error.type, type, `${what}: ${error}`);
    return error;
};

const payment = (order, more) => ({
    amount: 1099,
    currency: "eur",
    confirm: true,
    payment_method: "pm_card_visa",
    metadata: { order },
    ...more,
});

const main = async () => {
    // Customer.
    const customer = await stripe.customers.create({ email: "jo@example.com", metadata: { order: "customer" } });
    same([customer.object, customer.email], ["customer", "jo@example.com"], "customer");
    same((await stripe.customers.retrieve(customer.id)).metadata.order, "customer", "metadata");

    // Create and confirm, and the same again with the same key.
    const params = payment("paid", { customer: customer.id });
    const keyed = { idempotencyKey: "node-paid" };
    const paid = await stripe.paymentIntents.create(params, keyed);
    same([paid.object, paid.status, paid.amount_received], ["payment_intent", "succeeded", 1099], "payment");
    const again = await stripe.paymentIntents.create(params, keyed);
    same(again.id, paid.id, "replayed payment");
    same(again.lastResponse.headers["idempotent-replayed"], "true", "mark of the replay");
    same(again.lastResponse.headers["original-request"], paid.lastResponse.requestId, "original request");
    same(again.lastResponse.requestId === paid.lastResponse.requestId, false, "its own request id");
    const mismatch = await raises(
        "StripeIdempotencyError",
        () => stripe.paymentIntents.create({ ...params, amount: 1100 }, keyed),
        "other parameters with the same key",
    );
    same(mismatch.statusCode, 400, "its status");

    // Decline, its replay, 3D Secure.
    const bad = payment("declined", { payment_method: "pm_card_chargeDeclinedInsufficientFunds" });
    for (const replayed of [undefined, "true"]) {
        const declined = await raises(
            "StripeCardError",
            () => stripe.paymentIntents.create(bad, { idempotencyKey: "node-declined" }),
            "decline",
        );
        same([declined.statusCode, declined.code], [402, "card_declined"], "code");
        same(declined.decline_code, "insufficient_funds", "decline code");
        same(declined.payment_intent.status, "requires_payment_method", "payment that was declined");
        same(declined.headers["idempotent-replayed"], replayed, "mark of the replay");
    }
    const challenged = await stripe.paymentIntents.create(
        payment("3ds", { payment_method: "pm_card_authenticationRequired", return_url: "https://example.com/" }),
    );
    same([challenged.status, challenged.next_action.type], ["requires_action", "redirect_to_url"], "3D Secure");
    same(await sim("authenticate", { payment_intent: challenged.id, passed: false }), { done: true }, "its failure");
    same((await stripe.paymentIntents.retrieve(challenged.id)).status, "requires_payment_method", "after it");

    // Retrieve, expanded and missing.
    const expanded = await stripe.paymentIntents.retrieve(paid.id, { expand: ["latest_charge"] });
    same([expanded.latest_charge.object, expanded.latest_charge.paid], ["charge", true], "expanded charge");
    const gone = () => stripe.paymentIntents.retrieve("pi_gone");
    const missing = await raises("StripeInvalidRequestError", gone, "missing payment");
    same([missing.statusCode, missing.code], [404, "resource_missing"], "code");
    const stranger = client("sk_test_stranger");
    await raises("StripeAuthenticationError", () => stranger.customers.list(), "unknown API key");

    // Lists, page by page.
    const ids = [paid.id];
    for (let n = 0; n < 5; n += 1) {
        ids.unshift((await stripe.paymentIntents.create(payment(`list-${n}`, { customer: customer.id }))).id);
    }
    const page = await stripe.paymentIntents.list({ limit: 2, customer: customer.id });
    same([page.object, page.data.length, page.has_more], ["list", 2, true], "first page");
    const seen = [];
    for await (const intent of stripe.paymentIntents.list({ limit: 2, customer: customer.id })) {
        seen.push(intent.id);
    }
    same(seen, ids, "all pages, newest first");

    // Capture, refund.
    const held = await stripe.paymentIntents.create(payment("held", { capture_method: "manual" }));
    same([held.status, held.amount_capturable], ["requires_capture", 1099], "held payment");
    const captured = await stripe.paymentIntents.capture(held.id);
    same([captured.status, captured.amount_received], ["succeeded", 1099], "captured payment");
    const refund = await stripe.refunds.create({ payment_intent: paid.id, metadata: { order: "refund" } });
    same([refund.object, refund.status, refund.amount], ["refund", "succeeded", 1099], "refund");
    same((await stripe.charges.retrieve(paid.latest_charge)).amount_refunded, 1099, "refunded charge");

    // Search.
    const found = await stripe.paymentIntents.search({ query: "metadata['order']:'paid'" });
    same([found.object, found.data.map((intent) => intent.id)], ["search_result", [paid.id]], "search");

    // What the library does by itself when the answer is lost, and when the object is locked.
    await sim("script", { order: "lost", steps: [{ fault: "F3" }] });
    const lost = await stripe.paymentIntents.create(payment("lost"));
    same([lost.status, lost.lastResponse.headers["idempotent-replayed"]], ["succeeded", "true"], "lost answer");
    await sim("script", { order: "locked", steps: [{ answer: { kind: "lock_timeout" } }] });
    same((await stripe.paymentIntents.create(payment("locked"))).status, "succeeded", "lock");

    const ledger = await sim("ledger");
    same(ledger.charged_twice, [], "orders that were charged twice");
    same(["paid", "lost", "locked"].map((order) => ledger.orders[order].executions), [1, 1, 1], "executions");
    same(ledger.orders.declined, { executions: 0, declines: 1 }, "declines");
    console.log(`stripe-node ${Stripe.PACKAGE_VERSION}: ${checks} checks passed`);
    // The library leaves the body of an answer unread that it tries again after, and its socket open for 80 s.
    process.exit(0);
};

main().catch((error) => {
    console.error(`FAILED ${error.message ?? error}`);
    process.exit(1);
});

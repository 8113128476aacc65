// stripe-node, unmodified, makes payments through the sidecar at EGRESS to the simulator at SIM, where much fails.

const Stripe = require("stripe");

const { SIM, EGRESS, ADMIN } = process.env;
const { hostname, port } = new URL(EGRESS);
const client = (retries) =>
    new Stripe("sk_test_sim", { protocol: "http", host: hostname, port, maxNetworkRetries: retries });
const stripe = client(0);
let checks = 0;

function same(seen, expected, what) {
    checks += 1;
    if (JSON.stringify(seen) !== JSON.stringify(expected)) {
        throw new Error(`${what}: seen ${JSON.stringify(seen)}, expected ${JSON.stringify(expected)}`);
    }
}

async function load(url, value) {
    const answer = await fetch(url, value && { method: "POST", body: JSON.stringify(value) });
    return answer.json();
}

async function raises(type, call, what) {
    checks += 1;
    try {
        await call();
    } catch (error) {
        if (error.type === type) return error;
        throw error;
    }
    throw new Error(`${what}: no ${type}`);
}

/** The request id that came with the object is one that the simulator gave. */
async function known(response, what) {
    const ids = new Set((await load(`${SIM}/_sim/log`)).requests.map((seen) => seen.request_id));
    same(ids.has(response.requestId), true, `request id of ${what}`);
    same(response.headers["x-stripe-egress-certainty"], "executed", `certainty of ${what}`);
}

async function main() {
    const customer = await stripe.customers.create({ email: "jo@example.com", metadata: { order: "customer" } });
    same([customer.object, customer.email], ["customer", "jo@example.com"], "customer");
    await known(customer.lastResponse, "the customer");

    // Create, confirm, capture, refund: thirty times, since not every request suffers.
    const paid = [];
    for (let n = 0; n < 30; n += 1) {
        const intent = await stripe.paymentIntents.create({
            amount: 1099 + n,
            currency: "eur",
            customer: customer.id,
            capture_method: "manual",
            metadata: { order: `node-${n}` },
        });
        same(intent.status, "requires_payment_method", "created");
        const held = await stripe.paymentIntents.confirm(intent.id, { payment_method: "pm_card_visa" });
        same([held.status, held.amount_capturable], ["requires_capture", 1099 + n], "confirmed");
        const captured = await stripe.paymentIntents.capture(intent.id);
        same([captured.status, captured.amount_received], ["succeeded", 1099 + n], "captured");
        await known(captured.lastResponse, "a capture");
        paid.unshift(intent.id);
    }
    const refund = await stripe.refunds.create({
        payment_intent: paid[0],
        amount: 99,
        metadata: { order: "node-refund" },
    });
    same([refund.object, refund.status, refund.amount], ["refund", "succeeded", 99], "refund");
    await known(refund.lastResponse, "the refund");

    // All pages of a list.
    const seen = [];
    for await (const intent of stripe.paymentIntents.list({ limit: 7, customer: customer.id })) {
        seen.push(intent.id);
    }
    same(seen, paid, "all pages, newest first");

    // A decline is the library's own error, with all that Stripe says of it.
    const decline = () =>
        stripe.paymentIntents.create({
            amount: 500,
            currency: "eur",
            confirm: true,
            payment_method: "pm_card_chargeDeclinedInsufficientFunds",
            return_url: "https://example.com/",
            metadata: { order: "node-declined" },
        });
    const declined = await raises("StripeCardError", decline, "decline");
    same([declined.statusCode, declined.code], [402, "card_declined"], "decline");
    same(declined.decline_code, "insufficient_funds", "decline code");
    same(declined.payment_intent.status, "requires_payment_method", "payment that was declined");
    same(declined.headers["x-stripe-egress-certainty"], "rejected", "certainty of the decline");
    const gone = () => stripe.paymentIntents.retrieve("pi_gone");
    const missing = await raises("StripeInvalidRequestError", gone, "missing payment");
    same([missing.statusCode, missing.code], [404, "resource_missing"], "missing payment");

    // An upload.
    const data = Buffer.from("receipt\n".repeat(1000));
    const file = await stripe.files.create({
        purpose: "dispute_evidence",
        file: { data, name: "receipt.txt", type: "text/plain" },
    });
    same([file.object, file.size, file.filename], ["file", 8000, "receipt.txt"], "file");
    await known(file.lastResponse, "the file");

    // What happened: much failed, and everything was executed once.
    const [log, ledger] = [(await load(`${SIM}/_sim/log`)).requests, await load(`${SIM}/_sim/ledger`)];
    const failed = log.filter((one) => one.status === null).length;
    same(failed >= 10, true, "a network that fails");
    same(log.some((one) => one.replayed), true, "answers that were lost and fetched again");
    same(ledger.charged_twice, [], "orders that were charged twice");
    for (let n = 0; n < 30; n += 1) {
        same(ledger.orders[`node-${n}`].executions, 1, `executions of order ${n}`);
    }
    same(ledger.orders["node-declined"], { declines: 1, executions: 0 }, "declines");

    // Where the stack refuses, the library raises an error of its own, and does not try again, though it may.
    await load(`${SIM}/_sim/scenario`, { phases: [{ script: "outage", lasts_ms: 600000 }] });
    const retrieve = () => stripe.customers.retrieve(customer.id);
    let refused;
    for (let n = 0; n < 500; n += 1) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        refused = await raises("StripeAPIError", retrieve, "outage");
        if (refused.code === "egress_circuit_open") break;
    }
    same([refused.statusCode, refused.code], [503, "egress_circuit_open"], "open circuit");
    const total = async () => (await load(`${ADMIN}/status`)).calls.total;
    const before = await total();
    const again = await raises("StripeAPIError", () => client(3).customers.retrieve(customer.id), "open circuit");
    same(
        [again.code, again.headers["x-stripe-egress-certainty"]],
        ["egress_circuit_open", "not_sent"],
        "certainty",
    );
    same((await total()) - before, 1, "calls of a library that may retry three times");

    console.log(
        `stripe-node ${Stripe.PACKAGE_VERSION}: ${checks} checks passed; ${failed} of ${log.length} requests failed, 0 charged twice`,
    );
}

main().catch((error) => {
    console.error(`FAILED ${error.stack}`);
    process.exit(1);
});

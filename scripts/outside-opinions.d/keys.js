// The key store of the simulator at SIM, held against that of stripe-stateful-mock: the same sequences of requests to
// both. The mock has charges and no payment intents, so a payment is a charge there.
"use strict";

const http = require("node:http");
const { once } = require("node:events");

require("loglevel").setLevel("silent");
const { createExpressApp } = require("stripe-stateful-mock");

const KEY = "sk_test_sim";
const GOOD = { amount: "1099" };
const OTHER = { amount: "1100" };
const DECLINED = { amount: "1099", card: "declined" };
const INVALID = { amount: "1099", currency: "none at all" };

// Each side makes a payment in its own way.
const sim = {
    path: "/v1/payment_intents",
    form: ({ card, ...more }) => ({
        currency: "eur",
        confirm: "true",
        payment_method: card === "declined" ? "pm_card_chargeDeclined" : "pm_card_visa",
        ...more,
    }),
    // What the next request of an order meets is scripted beforehand.
    async meets(order, step) {
        const body = JSON.stringify({ order, steps: [step] });
        await fetch(`${sim.base}/_sim/script`, { method: "POST", body });
    },
};
const mock = {
    path: "/v1/charges",
    form: ({ card, ...more }) => ({
        currency: "eur",
        source: card === "declined" ? "tok_chargeDeclined" : "tok_visa",
        ...more,
    }),
};

// One sequence of requests to one side, with a key of its own. An answer says its status, "mismatch" if it is an error
// about the key, and "replayed" if it is marked so.
class Sequence {
    constructor(side, number) {
        this.side = side;
        this.order = `order-${number}`;
        this.key = `key-${number}`;
    }

    async send(method, path, { form, key = this.key, apiKey = KEY, order = this.order, reversed } = {}) {
        const headers = { authorization: `Bearer ${apiKey}`, "x-sim-order": order };
        if (key !== null) {
            headers["idempotency-key"] = key;
        }
        let pairs = Object.entries(form ?? {});
        if (reversed) {
            pairs = pairs.reverse();
        }
        const body = form && new URLSearchParams(pairs);
        const response = await fetch(this.side.base + path, { method, headers, body });
        const value = await response.json().catch(() => ({}));
        const words = [response.status];
        if (value.error?.type === "idempotency_error") {
            words.push("mismatch");
        }
        if (response.headers.get("idempotent-replayed") === "true") {
            words.push("replayed");
        }
        this.original ??= response.headers.get("request-id");
        this.id ??= value.id;
        return { said: words.join(" "), value, headers: response.headers };
    }

    pay(what = GOOD, options = {}) {
        return this.send("POST", this.side.path, { form: this.side.form(what), ...options });
    }
}

const twice = (first, second, options) => async (s) => {
    const a = await s.pay(first);
    return `${a.said}, ${(await s.pay(second, options)).said}`;
};

// Rows: name, sequence, what the simulator says, what the mock says, and why if that is not the same.
const ROWS = [
    ["same key, same parameters", twice(GOOD, GOOD), "200, 200 replayed", "200, 200 replayed"],
    [
        "same key, same parameters in another order",
        twice(GOOD, GOOD, { reversed: true }),
        "200, 200 replayed",
        "200, 200 replayed",
    ],
    [
        "a replay: same object, id of the original request, a request id of its own",
        async (s) => {
            await s.pay();
            const { value, headers } = await s.pay();
            const own = headers.get("request-id") !== s.original;
            return `${value.id === s.id} ${headers.get("original-request") === s.original} ${own}`;
        },
        "true true true",
        "true true true",
    ],
    ["same key, other parameters", twice(GOOD, OTHER), "200, 400 mismatch", "200, 400 mismatch"],
    [
        "the same parameters after a mismatch",
        async (s) => [await s.pay(), await s.pay(OTHER), await s.pay()].map(({ said }) => said).join(", "),
        "200, 400 mismatch, 200 replayed",
        "200, 400 mismatch, 200 replayed",
    ],
    [
        "another key, same parameters",
        async (s) => {
            await s.pay();
            const { said, value } = await s.pay(GOOD, { key: `${s.key}-b` });
            return `${said}, ${value.id === s.id ? "same" : "another"}`;
        },
        "200, another",
        "200, another",
    ],
    [
        "no key, same parameters",
        async (s) => {
            await s.pay(GOOD, { key: null });
            const { said, value } = await s.pay(GOOD, { key: null });
            return `${said}, ${value.id === s.id ? "same" : "another"}`;
        },
        "200, another",
        "200, another",
    ],
    ["same key after a decline", twice(DECLINED, DECLINED), "402, 402 replayed", "402, 402 replayed"],
    ["same key after a decline, another card", twice(DECLINED, GOOD), "402, 400 mismatch", "402, 400 mismatch"],
    [
        "same key after a 401",
        async (s) => {
            const refused = await s.pay(GOOD, { apiKey: "rk_nobody" });
            return `${refused.said}, ${(await s.pay()).said}`;
        },
        "401, 200",
        "401, 200",
    ],
    [
        "same key after a 429 of a limiter",
        // The mock is told by a parameter, so that its second request has other ones.
        async (s) => {
            const limited = s.side.meets
                ? (await s.side.meets(s.order, { answer: { rate_limited: "global-rate" } }), await s.pay())
                : await s.pay({ ...GOOD, source: "tok_429" });
            return `${limited.said}, ${(await s.pay()).said}`;
        },
        "429, 200",
        "429, 200",
    ],
    [
        "same key after a 500",
        async (s) => {
            await s.side.meets?.(s.order, { fault: "StoredServerError", executed: false });
            const broken = s.side.meets ? GOOD : { ...GOOD, source: "tok_500" };
            return `${(await s.pay(broken)).said}, ${(await s.pay(broken)).said}`;
        },
        "500, 500 replayed",
        "500, 500 replayed",
    ],
    [
        "same key after a refused parameter, which is then put right",
        twice(INVALID, GOOD),
        "400, 200",
        "400, 400 mismatch",
        "Stripe stores nothing of a request that it refused before executing it; the mock stores all but 401 and 429",
    ],
    [
        "same key, other path",
        async (s) => {
            const a = await s.pay();
            const b = await s.send("POST", "/v1/customers", { form: { description: "Jo" } });
            return `${a.said}, ${b.said}`;
        },
        "200, 400 mismatch",
        "200, 200",
        "a key belongs to the account, not to the path; the mock keeps one store for each method and path",
    ],
    [
        "a GET with the key of a POST",
        async (s) => {
            const a = await s.pay();
            return `${a.said}, ${(await s.send("GET", `${s.side.path}/${s.id}`)).said}`;
        },
        "200, 200",
        "200, 200",
    ],
    [
        "a GET with a key, twice, and a change in between",
        async (s) => {
            await s.pay(GOOD, { key: null });
            const path = `${s.side.path}/${s.id}`;
            await s.send("GET", path);
            await s.send("POST", path, { form: { description: "changed" }, key: null });
            const { said, value } = await s.send("GET", path);
            return `${said}, ${value.description === "changed" ? "as it is" : "as it was"}`;
        },
        "200, as it is",
        "200 replayed, as it was",
        "a key has no effect on a GET with Stripe; the mock replays what it stored",
    ],
    [
        "a key of 256 characters",
        async (s) => (await s.pay(GOOD, { key: s.key.padEnd(256, "x") })).said,
        "400 mismatch",
        "200",
        "Stripe takes keys of up to 255 characters; the mock does not look",
    ],
];

const main = async () => {
    sim.base = process.env.SIM;
    const server = http.createServer(createExpressApp()).listen(0, "127.0.0.1");
    await once(server, "listening");
    mock.base = `http://127.0.0.1:${server.address().port}`;

    let wrong = 0;
    let differ = 0;
    const line = (...cells) => console.log(cells.map((cell, n) => cell.padEnd([76, 33, 33][n])).join(""));
    line("sequence", "stripe-sim", "stripe-stateful-mock");
    for (const [number, [name, run, ofSim, ofMock, why]] of ROWS.entries()) {
        const saw = [await run(new Sequence(sim, number)), await run(new Sequence(mock, number))];
        line(name, ...saw);
        if (why) {
            differ += 1;
            console.log(`    they differ: ${why}`);
        }
        if (saw[0] !== ofSim || saw[1] !== ofMock || (ofSim === ofMock) === Boolean(why)) {
            wrong += 1;
            console.log(`    FAILED: expected ${ofSim} | ${ofMock}${why ? "" : ", and no difference"}`);
        }
    }
    console.log(`${ROWS.length} sequences: ${ROWS.length - differ} agree, ${differ} differ as explained, ${wrong} wrong`);
    server.close();
    server.closeAllConnections();
    process.exitCode = wrong === 0 ? 0 : 1;
};

main();

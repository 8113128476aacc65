//! One round against a simulator of its own, since a simulator forgets nothing.

use std::time::Duration;

use stripe_sim::{Faults, Latency, Profile, Scenario, Server, Sim};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tower_stripe::{Advice, BoxError, Certainty, vocab::time::now};

use crate::{
    calls::{self, Call, Payment},
    phases::{LASTS, Phase},
    settings::{LIVE, SANDBOX, Shop},
};

/// How often calls are made, one of each kind: well below the 22.5 a second that the governor allows an operation.
const TICK: Duration = Duration::from_millis(100);
/// Of what is unknown at the end, so many are left to whoever looks at the dashboard.
const LEFT_OPEN: usize = 2;

pub(crate) struct Round<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) sim: Sim,
    pub(crate) base: String,
    /// How many ticks there were.
    pub(crate) tick: u64,
    calls: JoinSet<Result<(), http::Error>>,
    payments: mpsc::UnboundedSender<Payment>,
}

/// How many orders were charged twice.
pub(crate) async fn play(shop: &Shop, number: u64) -> Result<usize, BoxError> {
    // Somebody has looked into what the round before left open.
    shop.checkout.telemetry().resolve_all();
    shop.office.telemetry().resolve_all();
    let latency = Profile::log_normal(Duration::from_millis(30), Duration::from_millis(150));
    let notice = "this version of the API will not be supported for ever";
    let sim = Sim::builder()
        .seed(shop.seed.wrapping_add(number))
        .latency(Latency::all(latency))
        .notice(notice, std::num::NonZeroU32::MIN.saturating_add(99))
        .build();
    let server = Server::bind(sim.clone(), ([127, 0, 0, 1], 0).into()).await?;
    let base = format!("http://{}", server.addr());
    let (payments, mut ended) = mpsc::unbounded_channel();
    let mut round = Round { shop, sim, base, tick: 0, calls: JoinSet::new(), payments };
    let mut unknown = Vec::new();
    for phase in Phase::ALL {
        println!("round {number}: {phase}");
        phase.begin(shop, &round.sim);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let end = now() + LASTS;
        while now() < end {
            ticks.tick().await;
            round.tick += 1;
            round.always();
            phase.calls(&mut round);
            round.reap()?;
            while let Ok(payment) = ended.try_recv() {
                if payment.report.certainty() == Certainty::Unknown {
                    unknown.push(payment);
                }
            }
            if phase == Phase::Back && unknown.len() > LEFT_OPEN {
                let payment = unknown.swap_remove(0);
                round.look_into(payment);
            }
        }
    }
    round.end(server).await
}

impl Round<'_> {
    /// What goes on in every phase.
    fn always(&mut self) {
        let (checkout, office) = (&self.shop.checkout, &self.shop.office);
        let url = |path: &str| format!("{}{path}", self.base);
        let paid = format!("order-{}", self.shop.next());
        let payment = Call::payment(checkout, LIVE, &self.base, &paid);
        let order = format!("record-{}", self.shop.next());
        let on_checkout = |method, path: &str| Call::new(checkout, LIVE, method, url(path), &order);
        let record = match self.tick % 4 {
            0 => on_checkout("GET", "/v1/payment_intents"),
            1 => on_checkout("POST", "/v1/customers").form("name=Ada"),
            2 => on_checkout(
                "GET",
                "/v1/payment_intents/search?query=metadata%5B%27order%27%5D%3A%27order-1%27",
            ),
            _ => on_checkout("POST", "/v2/billing/meter_events").json(format!(
                r#"{{"event_name":"seats","identifier":"{order}","payload":{{"stripe_customer_id":"cus_1","value":"1"}}}}"#
            )),
        };
        let order = format!("office-{}", self.shop.next());
        let of_office = match self.tick % 2 {
            0 => Call::new(office, SANDBOX, "GET", url("/v1/customers"), &order),
            _ => Call::new(office, SANDBOX, "POST", url("/v1/customers"), &order).form("name=Ada"),
        };
        self.spawn_payment(payment, paid);
        self.spawn(record);
        self.spawn(of_office);
    }

    pub(crate) fn spawn(&mut self, call: Call) {
        self.calls.spawn(async { call.send().await.map(drop) });
    }

    /// A call whose caller goes away after so long.
    pub(crate) fn spawn_for(&mut self, patience: Duration, call: Call) {
        self.calls
            .spawn(async move { timeout(patience, call.send()).await.map_or(Ok(()), |sent| sent.map(drop)) });
    }

    fn spawn_payment(&mut self, call: Call, order: String) {
        let payments = self.payments.clone();
        self.calls.spawn(async move {
            let report = call.send().await?;
            // Nobody listens any more when the program ends.
            let _ = payments.send(Payment { order, report });
            Ok(())
        });
    }

    /// What to do with a payment of which nobody knows: what its advice says, or to look it up and say so.
    fn look_into(&mut self, payment: Payment) {
        let Payment { order, report } = payment;
        if report.advice() == Advice::SameKey && self.shop.next().is_multiple_of(2) {
            self.spawn_payment(Call::payment(&self.shop.checkout, LIVE, &self.base, &order), order);
        } else {
            // Somebody has looked it up in Stripe.
            self.shop.checkout.telemetry().resolve(&calls::payment_key(&order));
        }
    }

    /// A mistake of this program ends it.
    fn reap(&mut self) -> Result<(), BoxError> {
        while let Some(ended) = self.calls.try_join_next() {
            ended??;
        }
        Ok(())
    }

    async fn end(mut self, server: Server) -> Result<usize, BoxError> {
        self.sim.faults(Faults::none());
        self.sim.play(Scenario::new());
        while let Some(ended) = self.calls.join_next().await {
            ended??;
        }
        self.sim.quiesce().await;
        let charged_twice = self.sim.ledger().charged_twice().len();
        server.shutdown().await;
        Ok(charged_twice)
    }
}

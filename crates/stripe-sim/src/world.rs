//! The objects of one account, and what a command does to them.
//!
//! [`World::run`] changes nothing: it says what the answer is and which objects the command would leave behind. Whoever
//! runs it decides whether those are put in place, kept hidden until [`World::settle`], or dropped. Every change that is
//! put in place leaves its event.

use serde_json::Value;

use crate::{
    api_error::ApiError,
    chance::Ids,
    command::{Command, Confirmation, NewFile, NewRefund},
    expand::Expansions,
    objects::{Cause, Charge, Confirmed, Customer, Event, File, PaymentIntent, Refund},
    shelf::Shelf,
    v2::{self, Subject},
};

/// What a command comes to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing changes.
    Read(Value),
    /// The side effect, and the answer to it.
    Done(Value, Vec<Change>),
    /// A card was declined: no money moved, but the payment intent shows it.
    Declined(ApiError, Vec<Change>),
    /// A parameter names something that does not exist: as with any bad parameter, nothing is stored for the key.
    Unfit(ApiError),
    /// The execution began and found the object in the wrong state: this is stored.
    Refused(ApiError),
}

/// An object as a command leaves it, and the event that tells of it.
#[derive(Debug)]
pub(crate) struct Change {
    object: Changed,
    event: Option<&'static str>,
}

#[derive(Debug)]
enum Changed {
    Customer(Customer),
    Intent(Box<PaymentIntent>),
    Charge(Box<Charge>),
    Refund(Refund),
    File(File),
    V2(Box<v2::Object>),
}

/// Stripe's time, as the objects see it: seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: u64,
    /// Up to when searches know what there is.
    pub(crate) indexed: u64,
}

/// All objects of one account.
#[derive(Default)]
pub(crate) struct World {
    livemode: bool,
    pub(crate) customers: Shelf<Customer>,
    pub(crate) intents: Shelf<PaymentIntent>,
    pub(crate) charges: Shelf<Charge>,
    pub(crate) refunds: Shelf<Refund>,
    pub(crate) events: Shelf<Event>,
    files: Shelf<File>,
    v2: v2::Objects,
    hidden: Vec<(Change, Cause)>,
}

impl Outcome {
    pub(crate) fn done_v2(value: Value, object: v2::Object) -> Self {
        Self::Done(value, vec![Change { object: Changed::V2(Box::new(object)), event: None }])
    }
}

impl Change {
    fn intent(intent: PaymentIntent, event: Option<&'static str>) -> Self {
        Self { object: Changed::Intent(Box::new(intent)), event }
    }

    fn charge(charge: Charge, event: &'static str) -> Self {
        Self { object: Changed::Charge(Box::new(charge)), event: Some(event) }
    }

    /// What a v2 key remembers of it.
    pub(crate) fn subject(&self) -> Option<Subject> {
        match &self.object {
            Changed::V2(object) => Some(object.subject()),
            _ => None,
        }
    }
}

impl World {
    pub(crate) fn new(livemode: bool) -> Self {
        Self { livemode, ..Self::default() }
    }

    /// What `command` comes to.
    pub(crate) fn run(&self, command: Command, ids: &mut Ids, moment: Moment) -> Outcome {
        self.attempt(command, ids, moment).unwrap_or_else(Outcome::Unfit)
    }

    fn attempt(&self, command: Command, ids: &mut Ids, moment: Moment) -> Result<Outcome, ApiError> {
        let now = moment.now;
        Ok(match command {
            Command::CreateCustomer(fields) => {
                let customer = Customer::new(ids.object("cus"), now, self.livemode, fields);
                customer_done(customer, "customer.created")
            }
            Command::RetrieveCustomer(id) => Outcome::Read(self.customer(&id)?.json()),
            Command::UpdateCustomer(id, fields) => {
                customer_done(self.living_customer(&id)?.clone().updated(fields), "customer.updated")
            }
            Command::DeleteCustomer(id) => {
                customer_done(self.living_customer(&id)?.clone().gone(), "customer.deleted")
            }
            Command::CreateIntent(new) => {
                if let Some(id) = &new.customer
                    && self.living_customer(id).is_err()
                {
                    return Err(ApiError::missing_reference("customer", id, "customer"));
                }
                let confirmation = new.confirm.then(|| Confirmation {
                    method: None,
                    off_session: new.off_session,
                    return_url: new.return_url.clone(),
                });
                let intent = PaymentIntent::new(new, now, self.livemode, ids);
                let created = Change::intent(intent.clone(), Some("payment_intent.created"));
                match confirmation {
                    Some(confirmation) => confirmed(intent, vec![created], confirmation, now, ids),
                    None => Outcome::Done(intent.json(), vec![created]),
                }
            }
            Command::RetrieveIntent(id) => Outcome::Read(self.intent(&id)?.json()),
            Command::UpdateIntent(id, fields) => {
                let intent = self.intent(&id)?.clone().updated(fields);
                Outcome::Done(intent.json(), vec![Change::intent(intent, None)])
            }
            Command::ConfirmIntent(id, confirmation) => {
                confirmed(self.intent(&id)?.clone(), Vec::new(), confirmation, now, ids)
            }
            Command::CaptureIntent(id, amount) => self.capture(self.intent(&id)?.clone(), amount),
            Command::CancelIntent(id, reason) => self.cancel(self.intent(&id)?.clone(), reason),
            Command::CreateRefund(new) => self.refund(new, ids, now)?,
            Command::RetrieveCharge(id) => Outcome::Read(self.charge(&id)?.json()),
            Command::RetrieveRefund(id) => Outcome::Read(known(&self.refunds, "refund", &id)?.json()),
            Command::RetrieveEvent(id) => Outcome::Read(known(&self.events, "event", &id)?.json()),
            Command::CreateFile(new) => {
                let NewFile { purpose, filename, size } = new;
                let file = File { id: ids.object("file"), created: now, purpose, filename, size };
                let json = file.json();
                Outcome::Done(json, vec![Change { object: Changed::File(file), event: None }])
            }
            Command::RetrieveFile(id) => Outcome::Read(known(&self.files, "file", &id)?.json()),
            Command::V2(command) => self.v2.run(command, ids, now, self.livemode)?,
            many => Outcome::Read(self.many(many, moment)?),
        })
    }

    fn capture(&self, mut intent: PaymentIntent, amount: Option<u64>) -> Outcome {
        let charge = intent.charge.as_deref().and_then(|id| self.charges.get(id)).cloned();
        let Some(mut charge) = charge else {
            return Outcome::Refused(intent.refuses("captured"));
        };
        match intent.capture(&mut charge, amount) {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(()) => {
                let charge = Change::charge(charge, "charge.captured");
                let json = intent.json();
                Outcome::Done(json, vec![charge, Change::intent(intent, Some("payment_intent.succeeded"))])
            }
        }
    }

    fn cancel(&self, mut intent: PaymentIntent, reason: Option<String>) -> Outcome {
        let held = match intent.cancel(reason) {
            Err(refusal) => return Outcome::Refused(refusal),
            Ok(held) => held,
        };
        let mut changes = Vec::new();
        let charge = intent.charge.as_deref().and_then(|id| self.charges.get(id)).filter(|_| held);
        if let Some(charge) = charge {
            let charge = Charge { held: false, released: true, ..charge.clone() };
            changes.push(Change::charge(charge, "charge.refunded"));
        }
        let json = intent.json();
        changes.push(Change::intent(intent, Some("payment_intent.canceled")));
        Outcome::Done(json, changes)
    }

    fn refund(&self, new: NewRefund, ids: &mut Ids, now: u64) -> Result<Outcome, ApiError> {
        let missing = |what, id: &str, param| ApiError::missing_reference(what, id, param);
        let charge = match (&new.charge, &new.intent) {
            (Some(id), _) => self.charges.get(id).ok_or_else(|| missing("charge", id, "charge"))?,
            (None, intent) => {
                let id = intent.as_deref().unwrap_or_default();
                let known = self.intents.get(id);
                let known = known.ok_or_else(|| missing("payment intent", id, "payment_intent"))?;
                match known.charge.as_deref().and_then(|charge| self.charges.get(charge)) {
                    Some(charge) => charge,
                    None => return Ok(Outcome::Refused(known.refuses("refunded"))),
                }
            }
        };
        let refuse = |code, message| Ok(Outcome::Refused(ApiError::not_refundable(code, message)));
        let amount = match charge.refundable() {
            None => return refuse("charge_not_refundable", "nothing was taken with this charge"),
            Some(0) => return refuse("charge_already_refunded", "all of this charge was refunded"),
            Some(left) => new.amount.unwrap_or(left),
        };
        let mut charge = charge.clone();
        if Some(amount) > charge.refundable() {
            let rule = "no more than what is left of the charge";
            return Ok(Outcome::Refused(ApiError::bad_parameter("amount", rule)));
        }
        charge.refunded += amount;
        let refund = Refund {
            id: ids.object("re"),
            created: now,
            amount,
            currency: charge.currency.clone(),
            charge: charge.id.clone(),
            intent: charge.intent.clone(),
            reason: new.reason,
            metadata: new.metadata,
        };
        let json = refund.json();
        let refund = Change { object: Changed::Refund(refund), event: Some("refund.created") };
        Ok(Outcome::Done(json, vec![refund, Change::charge(charge, "charge.refunded")]))
    }

    /// The customer of an intent authenticates, or fails to. Returns whether that was asked for.
    pub(crate) fn authenticate(&mut self, intent: &str, passed: bool, ids: &mut Ids, now: u64) -> bool {
        let Some(mut intent) = self.intents.get(intent).cloned() else {
            return false;
        };
        let Some(confirmed) = intent.authenticated(passed, now, ids) else {
            return false;
        };
        let (Outcome::Done(_, changes) | Outcome::Declined(_, changes)) =
            outcome(confirmed, intent, Vec::new())
        else {
            return false;
        };
        for change in changes {
            self.apply(change, &Cause::default(), ids, now);
        }
        true
    }

    /// Puts a change in place, and writes its event.
    pub(crate) fn apply(&mut self, change: Change, cause: &Cause, ids: &mut Ids, now: u64) {
        let object = match change.object {
            Changed::Customer(customer) => {
                let json = customer.json();
                self.customers.put(customer.id.clone(), customer, now);
                json
            }
            Changed::Intent(intent) => {
                let json = intent.json();
                self.intents.put(intent.id.clone(), *intent, now);
                json
            }
            Changed::Charge(charge) => {
                let json = charge.json();
                self.charges.put(charge.id.clone(), *charge, now);
                json
            }
            Changed::Refund(refund) => {
                let json = refund.json();
                self.refunds.put(refund.id.clone(), refund, now);
                json
            }
            Changed::File(file) => {
                let json = file.json();
                self.files.put(file.id.clone(), file, now);
                json
            }
            Changed::V2(object) => return self.v2.put(*object, now),
        };
        if let Some(kind) = change.event {
            let (livemode, cause) = (self.livemode, cause.clone());
            let event = Event { id: ids.object("evt"), created: now, kind, livemode, object, cause };
            self.events.put(event.id.clone(), event, now);
        }
    }

    /// Completes what an earlier request left half done, and shows how it stands.
    pub(crate) fn complete(&mut self, subject: &Subject, ids: &mut Ids, now: u64) -> Result<Value, ApiError> {
        let is_its =
            |(change, _): &(Change, Cause)| change.subject().is_some_and(|hidden| hidden.id == subject.id);
        let (found, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.hidden).into_iter().partition(is_its);
        self.hidden = rest;
        for (change, cause) in found {
            self.apply(change, &cause, ids, now);
        }
        self.show(subject)
    }

    /// How things stand with what an earlier request changed.
    pub(crate) fn show(&self, subject: &Subject) -> Result<Value, ApiError> {
        self.v2.show(subject)
    }

    /// Keeps a change back until the next [`World::settle`].
    pub(crate) fn hide(&mut self, change: Change, cause: &Cause) {
        self.hidden.push((change, cause.clone()));
    }

    /// Puts all hidden changes in place, oldest first.
    pub(crate) fn settle(&mut self, ids: &mut Ids, now: u64) {
        for (change, cause) in std::mem::take(&mut self.hidden) {
            self.apply(change, &cause, ids, now);
        }
    }

    /// Puts objects in place of ids.
    pub(crate) fn expand(&self, value: &mut Value, expansions: &Expansions) {
        expansions.apply(value, &|id| match id.split_once('_')?.0 {
            "cus" => self.customers.get(id).map(Customer::json),
            "pi" => self.intents.get(id).map(PaymentIntent::json),
            "ch" => self.charges.get(id).map(Charge::json),
            _ => None,
        });
    }

    fn customer(&self, id: &str) -> Result<&Customer, ApiError> {
        known(&self.customers, "customer", id)
    }

    fn living_customer(&self, id: &str) -> Result<&Customer, ApiError> {
        let customer = self.customer(id)?;
        if customer.deleted { Err(ApiError::missing_object("customer", id, "id")) } else { Ok(customer) }
    }

    fn intent(&self, id: &str) -> Result<&PaymentIntent, ApiError> {
        self.intents.get(id).ok_or_else(|| ApiError::missing_object("payment intent", id, "intent"))
    }

    fn charge(&self, id: &str) -> Result<&Charge, ApiError> {
        known(&self.charges, "charge", id)
    }
}

fn known<'a, T>(shelf: &'a Shelf<T>, what: &str, id: &str) -> Result<&'a T, ApiError> {
    shelf.get(id).ok_or_else(|| ApiError::missing_object(what, id, "id"))
}

fn customer_done(customer: Customer, event: &'static str) -> Outcome {
    let json = customer.json();
    Outcome::Done(json, vec![Change { object: Changed::Customer(customer), event: Some(event) }])
}

/// Confirms `intent`, which `before` made or nothing did.
fn confirmed(
    mut intent: PaymentIntent,
    before: Vec<Change>,
    confirmation: Confirmation,
    now: u64,
    ids: &mut Ids,
) -> Outcome {
    match intent.confirm(confirmation, now, ids) {
        Ok(confirmed) => outcome(confirmed, intent, before),
        Err(refusal) => Outcome::Refused(refusal),
    }
}

fn outcome(confirmed: Confirmed, intent: PaymentIntent, mut changes: Vec<Change>) -> Outcome {
    let json = intent.json();
    match confirmed {
        Confirmed::Charged(charge) => {
            let event = if charge.held {
                "payment_intent.amount_capturable_updated"
            } else {
                "payment_intent.succeeded"
            };
            changes.push(Change::charge(charge, "charge.succeeded"));
            changes.push(Change::intent(intent, Some(event)));
            Outcome::Done(json, changes)
        }
        Confirmed::NeedsAction => {
            changes.push(Change::intent(intent, Some("payment_intent.requires_action")));
            Outcome::Done(json, changes)
        }
        Confirmed::Declined(error, charge) => {
            changes.push(Change::charge(charge, "charge.failed"));
            changes.push(Change::intent(intent, Some("payment_intent.payment_failed")));
            Outcome::Declined(error, changes)
        }
        Confirmed::Absent(error) => {
            changes.push(Change::intent(intent, Some("payment_intent.payment_failed")));
            Outcome::Declined(error, changes)
        }
    }
}

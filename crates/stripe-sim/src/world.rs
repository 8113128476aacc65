//! The objects of one account, and what a command does to them.
//!
//! [`World::run`] changes nothing: it says what the answer is and which object the command would leave behind. Whoever
//! runs it decides whether that object is put in place, kept hidden until [`World::settle`], or dropped.

use serde_json::Value;

use crate::{
    api_error::ApiError,
    chance::Ids,
    command::Command,
    objects::{Customer, PaymentIntent},
    shelf::Shelf,
    v2::{self, Subject},
};

/// What a command comes to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing changes.
    Read(Value),
    /// The side effect, and the answer to it.
    Done(Value, Change),
    /// A card was declined: no money moved, but the payment intent shows it.
    Declined(ApiError, Change),
    /// A parameter names something that does not exist: as with any bad parameter, nothing is stored for the key.
    Unfit(ApiError),
    /// The execution began and found the object in the wrong state: this is stored.
    Refused(ApiError),
}

/// An object as a command leaves it.
#[derive(Debug)]
pub(crate) enum Change {
    Customer(Customer),
    Intent(Box<PaymentIntent>),
    V2(Box<v2::Object>),
}

impl Outcome {
    pub(crate) fn done_v2(value: Value, object: v2::Object) -> Self {
        Self::Done(value, Change::V2(Box::new(object)))
    }
}

impl Change {
    /// What a v2 key remembers of it.
    pub(crate) fn subject(&self) -> Option<Subject> {
        match self {
            Self::V2(object) => Some(object.subject()),
            Self::Customer(_) | Self::Intent(_) => None,
        }
    }
}

/// All objects of one account.
#[derive(Default)]
pub(crate) struct World {
    livemode: bool,
    customers: Shelf<Customer>,
    intents: Shelf<PaymentIntent>,
    v2: v2::Objects,
    hidden: Vec<Change>,
}

impl World {
    pub(crate) fn new(livemode: bool) -> Self {
        Self { livemode, ..Self::default() }
    }

    /// What `command` comes to at `now`, in seconds since 1970.
    pub(crate) fn run(&self, command: Command, ids: &mut Ids, now: u64) -> Outcome {
        self.attempt(command, ids, now).unwrap_or_else(Outcome::Unfit)
    }

    fn attempt(&self, command: Command, ids: &mut Ids, now: u64) -> Result<Outcome, ApiError> {
        Ok(match command {
            Command::CreateCustomer(fields) => {
                customer_done(Customer::new(ids.object("cus"), now, self.livemode, fields))
            }
            Command::RetrieveCustomer(id) => Outcome::Read(self.customer(&id)?.json()),
            Command::UpdateCustomer(id, fields) => {
                customer_done(self.living_customer(&id)?.clone().updated(fields))
            }
            Command::DeleteCustomer(id) => {
                let gone = self.living_customer(&id)?.clone().gone();
                customer_done(gone)
            }
            Command::ListCustomers(page) => {
                let living = self.customers.newest_first().filter(|customer| !customer.deleted);
                let rows = living.map(|customer| (customer.id.as_str(), customer.created, customer));
                Outcome::Read(page.of("/v1/customers", rows, Customer::json)?)
            }
            Command::CreateIntent(new) => {
                if let Some(id) = &new.customer
                    && self.living_customer(id).is_err()
                {
                    return Err(ApiError::missing_reference("customer", id, "customer"));
                }
                let confirm = new.confirm;
                let intent = PaymentIntent::new(new, now, self.livemode, ids);
                if confirm { confirmed(intent, None, ids) } else { intent_done(intent) }
            }
            Command::RetrieveIntent(id) => Outcome::Read(self.intent(&id)?.json()),
            Command::UpdateIntent(id, fields) => intent_done(self.intent(&id)?.clone().updated(fields)),
            Command::ConfirmIntent(id, method) => confirmed(self.intent(&id)?.clone(), method, ids),
            Command::ListIntents(page, customer) => {
                let wanted = |intent: &&PaymentIntent| customer.is_none() || intent.customer == customer;
                let rows = self.intents.newest_first().filter(wanted);
                let rows = rows.map(|intent| (intent.id.as_str(), intent.created, intent));
                Outcome::Read(page.of("/v1/payment_intents", rows, PaymentIntent::json)?)
            }
            Command::SearchIntents(search) => {
                let found = self.intents.newest_first().filter(|intent| search.matches(&intent.metadata));
                Outcome::Read(search.of("/v1/payment_intents/search", found.map(PaymentIntent::json)))
            }
            Command::V2(command) => self.v2.run(command, ids, now, self.livemode)?,
        })
    }

    /// Puts a change in place.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Customer(customer) => self.customers.put(customer.id.clone(), customer),
            Change::Intent(intent) => self.intents.put(intent.id.clone(), *intent),
            Change::V2(object) => self.v2.put(*object),
        }
    }

    /// Completes what an earlier request left half done, and shows how it stands.
    pub(crate) fn complete(&mut self, subject: &Subject) -> Result<Value, ApiError> {
        let is_its = |change: &Change| change.subject().is_some_and(|hidden| hidden.id == subject.id);
        let (found, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.hidden).into_iter().partition(is_its);
        self.hidden = rest;
        for change in found {
            self.apply(change);
        }
        self.show(subject)
    }

    /// How things stand with what an earlier request changed.
    pub(crate) fn show(&self, subject: &Subject) -> Result<Value, ApiError> {
        self.v2.show(subject)
    }

    /// Keeps a change back until the next [`World::settle`].
    pub(crate) fn hide(&mut self, change: Change) {
        self.hidden.push(change);
    }

    /// Puts all hidden changes in place, oldest first.
    pub(crate) fn settle(&mut self) {
        for change in std::mem::take(&mut self.hidden) {
            self.apply(change);
        }
    }

    fn customer(&self, id: &str) -> Result<&Customer, ApiError> {
        self.customers.get(id).ok_or_else(|| ApiError::missing_object("customer", id, "id"))
    }

    fn living_customer(&self, id: &str) -> Result<&Customer, ApiError> {
        let customer = self.customer(id)?;
        if customer.deleted { Err(ApiError::missing_object("customer", id, "id")) } else { Ok(customer) }
    }

    fn intent(&self, id: &str) -> Result<&PaymentIntent, ApiError> {
        self.intents.get(id).ok_or_else(|| ApiError::missing_object("payment intent", id, "intent"))
    }
}

fn customer_done(customer: Customer) -> Outcome {
    Outcome::Done(customer.json(), Change::Customer(customer))
}

fn intent_done(intent: PaymentIntent) -> Outcome {
    Outcome::Done(intent.json(), Change::Intent(Box::new(intent)))
}

fn confirmed(mut intent: PaymentIntent, method: Option<crate::command::Method>, ids: &mut Ids) -> Outcome {
    match intent.confirm(method, ids) {
        Ok(None) => intent_done(intent),
        Ok(Some(decline)) => Outcome::Declined(decline, Change::Intent(Box::new(intent))),
        Err(refusal) => Outcome::Refused(refusal),
    }
}

//! The lists and searches of v1.

use serde_json::Value;

use crate::{
    api_error::ApiError,
    command::Command,
    objects::{Charge, Customer, Event, PaymentIntent, Refund},
    page::{Page, Search},
    world::{Moment, World},
};

impl World {
    /// The answer to a list or a search; nothing else is one.
    pub(crate) fn many(&self, command: Command, moment: Moment) -> Result<Value, ApiError> {
        match command {
            Command::ListCustomers(page) => {
                let living = self.customers.newest_first().filter(|customer| !customer.deleted);
                let rows = living.map(|customer| (customer.id.as_str(), customer.created, customer));
                page.of("/v1/customers", rows, Customer::json)
            }
            Command::ListIntents(page, filter) => {
                let wanted = |intent: &&PaymentIntent| {
                    filter.wants(intent.customer.as_deref(), Some(&intent.id), intent.charge.as_deref())
                };
                let rows = self.intents.newest_first().filter(wanted);
                let rows = rows.map(|intent| (intent.id.as_str(), intent.created, intent));
                page.of("/v1/payment_intents", rows, PaymentIntent::json)
            }
            Command::ListCharges(page, filter) => {
                let wanted = |charge: &&Charge| {
                    filter.wants(charge.customer.as_deref(), Some(&charge.intent), Some(&charge.id))
                };
                let rows = self.charges.newest_first().filter(wanted);
                let rows = rows.map(|charge| (charge.id.as_str(), charge.created, charge));
                page.of("/v1/charges", rows, Charge::json)
            }
            Command::ListRefunds(page, filter) => {
                let wanted =
                    |refund: &&Refund| filter.wants(None, Some(&refund.intent), Some(&refund.charge));
                let rows = self.refunds.newest_first().filter(wanted);
                let rows = rows.map(|refund| (refund.id.as_str(), refund.created, refund));
                page.of("/v1/refunds", rows, Refund::json)
            }
            Command::ListEvents(page, kind) => self.list_events(&page, kind.as_deref()),
            Command::SearchCustomers(search) => {
                let found = self.customers.newest_first_until(moment.indexed);
                let found = found.filter(|customer| !customer.deleted && search.matches(customer.metadata()));
                search.of("/v1/customers/search", found.map(|found| (found.id.clone(), found.json())))
            }
            Command::SearchIntents(search) => {
                let found = self.intents.newest_first_until(moment.indexed);
                let found = found.filter(|intent| search.matches(&intent.metadata));
                search.of("/v1/payment_intents/search", found.map(|found| (found.id.clone(), found.json())))
            }
            Command::SearchCharges(search) => self.search_charges(&search, moment),
            _ => Err(ApiError::broken()),
        }
    }

    fn list_events(&self, page: &Page, kind: Option<&str>) -> Result<Value, ApiError> {
        let wanted = |event: &&Event| kind.is_none_or(|kind| event.kind == kind);
        let rows = self.events.newest_first().filter(wanted);
        page.of("/v1/events", rows.map(|event| (event.id.as_str(), event.created, event)), Event::json)
    }

    fn search_charges(&self, search: &Search, moment: Moment) -> Result<Value, ApiError> {
        let found = self.charges.newest_first_until(moment.indexed);
        let found = found.filter(|charge| search.matches(&charge.metadata));
        search.of("/v1/charges/search", found.map(|found| (found.id.clone(), found.json())))
    }
}

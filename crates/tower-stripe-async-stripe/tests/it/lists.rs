//! Lists and searches are paged through by async-stripe itself.

use futures_util::{StreamExt, TryStreamExt};
use stripe_client_core::PaginationExt;
use stripe_core::customer::{CreateCustomer, ListCustomer, SearchCustomer};
use stripe_sim::{Canned, Fault, Sim, Step};
use tower_stripe::{Priority, Refusal, ReportHandle};

use crate::support::{client, of_order, sim};

const PAGES: &str = "GET /v1/customers";

async fn with_customers(sim: &Sim, count: usize) -> Vec<String> {
    let client = client(sim);
    let mut ids = Vec::new();
    for _ in 0..count {
        let create = CreateCustomer::new().metadata(of_order("o"));
        ids.push(create.send(&client).await.expect("created").id.to_string());
    }
    ids.reverse();
    ids
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_to_its_end_over_several_pages() {
    let sim = sim();
    let ids = with_customers(&sim, 25).await;
    let client = client(&sim).with(Priority::Background);

    let stream = ListCustomer::new().limit(10).paginate().stream(&client);
    let found: Vec<_> = stream.try_collect().await.expect("all pages");
    assert!(found.iter().map(|customer| customer.id.as_str()).eq(ids.iter().map(String::as_str)));
    assert_eq!(sim.log_of(PAGES).len(), 3);

    // From a page that one has already, by the address that stands in it.
    let page = ListCustomer::new().limit(20).send(&client).await.expect("a page");
    assert_eq!((page.data.len(), page.has_more), (20, true));
    let found: Vec<_> = page.into_paginator().stream(&client).try_collect().await.expect("the rest");
    assert_eq!(found.len(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_answer_is_lost_is_read_again() {
    let sim = sim();
    let ids = with_customers(&sim, 25).await;
    sim.script(PAGES, [Step::Pass, Step::Fault(Fault::F3), Step::Answer(Canned::html(503)), Step::Pass]);
    let client = client(&sim);
    let stream = ListCustomer::new().limit(10).paginate().stream(&client);
    let found: Vec<_> = stream.try_collect().await.expect("all pages");
    assert_eq!((found.len(), ids.len()), (25, 25));
    assert_eq!(sim.log_of(PAGES).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_ends_the_list_with_its_error() {
    let sim = sim();
    with_customers(&sim, 12).await;
    sim.script(PAGES, [Step::Pass, Step::Answer(Canned::unauthorized())]);
    let client = client(&sim);
    let stream = ListCustomer::new().limit(10).paginate().stream(&client);
    let mut found: Vec<_> = stream.collect().await;
    let error = found.pop().expect("an item").expect_err("the second page fails");
    assert_eq!(error.status().map(|status| status.as_u16()), Some(401));
    assert_eq!(found.into_iter().filter(Result::is_ok).count(), 10);
}

/// The pages of a list are calls, and a report is for one call.
#[tokio::test(start_paused = true)]
async fn a_report_handle_is_refused_from_the_second_page_on() {
    let sim = sim();
    with_customers(&sim, 12).await;
    let client = client(&sim).with(ReportHandle::new());
    let mut found: Vec<_> = ListCustomer::new().limit(10).paginate().stream(&client).collect().await;
    let error = found.pop().expect("an item").expect_err("the second page is refused");
    assert_eq!(error.no_response().and_then(tower_stripe::Error::refusal), Some(&Refusal::ReportReused));
    assert_eq!(sim.log_of(PAGES).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_search_is_read_to_its_end_over_several_pages() {
    let sim = sim();
    let ids = with_customers(&sim, 25).await;
    // Stripe finds what was made a minute ago.
    sim.clock().advance(std::time::Duration::from_secs(3_600));
    let search = SearchCustomer::new("metadata['order']:'o'").limit(10);
    let client = client(&sim);
    let stream = search.paginate().stream(&client);
    let found: Vec<_> = stream.try_collect().await.expect("all pages");
    assert!(found.iter().map(|customer| customer.id.as_str()).eq(ids.iter().map(String::as_str)));
    assert_eq!(sim.log_of("GET /v1/customers/search").len(), 3);
}

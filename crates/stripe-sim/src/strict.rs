//! Which parameters an endpoint of v1 takes, for those who want to be told of a slip. Those that Stripe takes are here,
//! whether or not they have a part in the simulation.

use crate::{api_error::ApiError, form::Form, request::Received, route::Route};

const LIST: &[&str] = &["created", "ending_before", "limit", "starting_after"];
const SEARCH: &[&str] = &["limit", "page", "query"];
/// What every endpoint takes; `metadata` in a query names the order to the simulator.
const ANYWHERE: &[&str] = &["expand", "metadata"];
const CUSTOMER: &[&str] = &[
    "address",
    "balance",
    "cash_balance",
    "default_source",
    "description",
    "email",
    "invoice_prefix",
    "invoice_settings",
    "name",
    "next_invoice_sequence",
    "payment_method",
    "phone",
    "preferred_locales",
    "shipping",
    "source",
    "tax",
    "tax_exempt",
    "tax_id_data",
    "test_clock",
];
const INTENT: &[&str] = &[
    "amount",
    "application_fee_amount",
    "capture_method",
    "currency",
    "customer",
    "description",
    "payment_method",
    "payment_method_configuration",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
];
const CREATE_INTENT: &[&str] = &[
    "automatic_payment_methods",
    "confirm",
    "confirmation_method",
    "confirmation_token",
    "error_on_requires_action",
    "mandate",
    "mandate_data",
    "off_session",
    "on_behalf_of",
    "radar_options",
    "return_url",
    "use_stripe_sdk",
];
const CONFIRM_INTENT: &[&str] = &[
    "capture_method",
    "confirmation_token",
    "error_on_requires_action",
    "mandate",
    "mandate_data",
    "off_session",
    "payment_method",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "radar_options",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "use_stripe_sdk",
];
const CAPTURE_INTENT: &[&str] = &[
    "amount_to_capture",
    "application_fee_amount",
    "final_capture",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
];
const REFUND: &[&str] = &[
    "amount",
    "charge",
    "currency",
    "customer",
    "instructions_email",
    "origin",
    "payment_intent",
    "reason",
    "refund_application_fee",
    "reverse_transfer",
];

/// Refuses the first parameter that the endpoint does not take.
pub(crate) fn check(route: &Route, request: &Received) -> Result<(), ApiError> {
    let known = takes(route);
    let forms: [&Form; 2] = [&request.head.query, &request.form];
    for name in forms.into_iter().flat_map(Form::names) {
        let root = name.split('[').next().unwrap_or_default();
        if !ANYWHERE.contains(&root) && !known.iter().any(|names| names.contains(&root)) {
            return Err(ApiError::unknown_parameter(name));
        }
    }
    Ok(())
}

fn takes(route: &Route) -> Vec<&'static [&'static str]> {
    match route {
        Route::CreateCustomer | Route::UpdateCustomer(_) => vec![CUSTOMER],
        Route::CreateIntent => vec![INTENT, CREATE_INTENT],
        Route::UpdateIntent(_) => vec![INTENT],
        Route::ConfirmIntent(_) => vec![CONFIRM_INTENT],
        Route::CaptureIntent(_) => vec![CAPTURE_INTENT],
        Route::CancelIntent(_) => vec![&["cancellation_reason"]],
        Route::CreateRefund => vec![REFUND],
        Route::RetrieveIntent(_) => vec![&["client_secret"]],
        Route::ListCustomers => vec![LIST, &["email", "test_clock"]],
        Route::ListIntents => vec![LIST, &["customer"]],
        Route::ListCharges => vec![LIST, &["customer", "payment_intent", "transfer_group"]],
        Route::ListRefunds => vec![LIST, &["charge", "payment_intent"]],
        Route::ListEvents => vec![LIST, &["delivery_success", "type", "types"]],
        Route::CreateFile => vec![&["file", "file_link_data", "purpose"]],
        Route::SearchIntents | Route::SearchCustomers | Route::SearchCharges => vec![SEARCH],
        Route::RetrieveCustomer(_)
        | Route::DeleteCustomer(_)
        | Route::RetrieveCharge(_)
        | Route::RetrieveRefund(_)
        | Route::RetrieveEvent(_)
        | Route::RetrieveFile(_)
        | Route::V2(_) => Vec::new(),
    }
}

//! What Stripe's words mean. `known.tsv` has the words; a test holds the two together.

use super::Meaning::{self, Business, Caller, Config, Other, Transient};
#[cfg(feature = "telemetry")]
use crate::vocab::Word;

pub(super) type Table = &'static [(Meaning, &'static [&'static str])];

/// The error code, if this version knows it: never what somebody else has written.
#[cfg(feature = "telemetry")]
pub(in super::super) fn word(code: &str) -> Option<Word> {
    let words = CODES.iter().flat_map(|(_, words)| words.iter());
    (0..).zip(words).find(|(_, text)| **text == code).map(|(index, text)| Word { index, text })
}

/// Error codes: all of v1, and the one of v2 that needs no type.
pub(super) const CODES: Table = &[
    (
        Config,
        &[
            // API keys and modes.
            "api_key_expired",
            "livemode_mismatch",
            "platform_api_key_expired",
            "secret_key_required",
            "testmode_charges_only",
            "tls_version_unsupported",
            // The account, or what it is allowed to do.
            "account_invalid",
            "action_blocked",
            "anomalous_money_movement_request",
            "application_fees_not_allowed",
            "financial_account_capability_not_enabled",
            "financial_account_capability_restricted",
            "forwarding_api_inactive",
            "instant_payouts_config_disabled",
            "not_allowed_on_standard_account",
            "payment_method_configuration_failures",
            "payment_method_unactivated",
            "payouts_not_allowed",
            "platform_account_required",
            "progressive_onboarding_limit_exceeded",
            "request_blocked",
            "storer_capability_missing",
            "storer_capability_not_active",
            "stripe_tax_inactive",
            "transfers_not_allowed",
        ],
    ),
    (
        Caller,
        &[
            // Parameters.
            "amount_too_large",
            "amount_too_small",
            "balance_invalid_parameter",
            "charge_invalid_parameter",
            "forwarding_api_invalid_parameter",
            "invalid_characters",
            "invalid_charge_amount",
            "invalid_fields",
            "invalid_mandate_reference_prefix_format",
            "invalid_source_usage",
            "missing",
            "parameter_invalid_empty",
            "parameter_invalid_integer",
            "parameter_invalid_string_blank",
            "parameter_invalid_string_empty",
            "parameter_missing",
            "parameter_unknown",
            "parameters_exclusive",
            "payment_intent_invalid_parameter",
            "payment_method_invalid_parameter",
            "payment_method_invalid_parameter_testmode",
            "setup_intent_invalid_parameter",
            "transfer_source_balance_parameters_mismatch",
            "url_invalid",
            // What does not go together.
            "account_token_required_for_v2_account",
            "clearing_code_unsupported",
            "financial_account_balance_does_not_support_currency",
            "intent_verification_method_missing",
            "invoice_no_payment_method_types",
            "ownership_declaration_not_allowed",
            "payment_intent_incompatible_payment_method",
            "payment_method_currency_mismatch",
            "payment_method_not_available",
            "payment_method_unsupported_type",
            "service_period_coupon_with_metered_tiered_item_unsupported",
            "setup_intent_mobile_wallet_unsupported",
            "terminal_location_country_unsupported",
            "terminal_reader_invalid_location_for_activation",
            "terminal_reader_invalid_location_for_payment",
            "token_card_network_invalid",
            // What no longer exists, never did, or does so already.
            "alipay_upgrade_required",
            "bitcoin_upgrade_required",
            "customer_session_expired",
            "resource_already_exists",
            "resource_missing",
            "token_already_used",
        ],
    ),
    (
        Business,
        &[
            // Declines, and what the payer typed.
            "account_closed",
            "account_information_mismatch",
            "account_number_invalid",
            "authentication_required",
            "bank_account_bad_routing_numbers",
            "bank_account_declined",
            "bank_account_restricted",
            "bank_account_unusable",
            "bank_account_verification_failed",
            "card_decline_rate_limit_exceeded",
            "card_declined",
            "cardholder_phone_number_required",
            "country_code_invalid",
            "debit_not_authorized",
            "email_invalid",
            "expired_card",
            "incorrect_address",
            "incorrect_cvc",
            "incorrect_number",
            "incorrect_zip",
            "india_recurring_payment_mandate_canceled",
            "insufficient_funds",
            "invalid_card_type",
            "invalid_cvc",
            "invalid_expiry_month",
            "invalid_expiry_year",
            "invalid_number",
            "no_account",
            "payment_intent_authentication_failure",
            "payment_intent_konbini_rejected_confirmation_number",
            "payment_intent_payment_attempt_expired",
            "payment_intent_payment_attempt_failed",
            "payment_method_bank_account_blocked",
            "payment_method_billing_details_address_missing",
            "payment_method_customer_decline",
            "payment_method_provider_decline",
            "payment_method_provider_timeout",
            "postal_code_invalid",
            "processing_error",
            "refer_to_customer",
            "routing_number_invalid",
            "sepa_unsupported_account",
            "setup_attempt_failed",
            "setup_intent_authentication_failure",
            "setup_intent_setup_attempt_expired",
            "siret_invalid",
            "state_unsupported",
            "tax_id_invalid",
            // Countries, addresses, taxes.
            "account_country_invalid_address",
            "account_error_country_change_requires_additional_steps",
            "country_unsupported",
            "customer_tax_location_invalid",
            "invalid_tax_location",
            "shipping_address_invalid",
            "tax_id_prohibited",
            // Mandates and verification.
            "acss_debit_session_incomplete",
            "bank_account_exists",
            "bank_account_unverified",
            "billing_invalid_mandate",
            "payment_intent_mandate_invalid",
            "payment_method_bank_account_already_verified",
            "payment_method_microdeposit_failed",
            "payment_method_microdeposit_verification_amounts_invalid",
            "payment_method_microdeposit_verification_amounts_mismatch",
            "payment_method_microdeposit_verification_attempts_exceeded",
            "payment_method_microdeposit_verification_descriptor_code_mismatch",
            "payment_method_microdeposit_verification_timeout",
            "setup_intent_mandate_invalid",
            // Money and limits.
            "approval_required",
            "balance_insufficient",
            "charge_exceeds_source_limit",
            "charge_exceeds_transaction_limit",
            "customer_max_payment_methods",
            "customer_max_subscriptions",
            "instant_payouts_currency_disabled",
            "instant_payouts_limit_exceeded",
            "instant_payouts_unsupported",
            "payouts_limit_exceeded",
            // The state of an object.
            "capture_charge_authorization_expired",
            "capture_unauthorized_payment",
            "charge_already_captured",
            "charge_already_refunded",
            "charge_disputed",
            "charge_expired_for_capture",
            "charge_not_refundable",
            "coupon_expired",
            "financial_connections_account_inactive",
            "financial_connections_account_unavailable_account_numbers",
            "financial_connections_no_successful_transaction_refresh",
            "intent_invalid_state",
            "invoice_no_customer_line_items",
            "invoice_no_subscription_line_items",
            "invoice_not_editable",
            "invoice_on_behalf_of_not_editable",
            "invoice_payment_intent_requires_action",
            "invoice_upcoming_none",
            "out_of_inventory",
            "payment_intent_action_required",
            "payment_intent_unexpected_state",
            "payment_method_unexpected_state",
            "product_inactive",
            "refund_disputed_payment",
            "return_intent_already_processed",
            "setup_intent_unexpected_state",
            "sku_inactive",
            "status_transition_invalid",
            // A device, which somebody in the shop has to look at.
            "terminal_reader_hardware_fault",
            // What a third party answered.
            "forwarding_api_upstream_error",
        ],
    ),
    (
        Transient,
        &[
            // Limiters and locks.
            "idempotency_key_in_use",
            "lock_timeout",
            "payment_intent_rate_limit_exceeded",
            "rate_limit",
            "token_in_use",
            // Something behind Stripe is slow, busy or away for a moment.
            "failed_tax_calculation",
            "forwarding_api_retryable_upstream_error",
            "forwarding_api_upstream_connection_error",
            "forwarding_api_upstream_connection_timeout",
            "payment_method_microdeposit_processing_error",
            "shipping_calculation_failed",
            "taxes_calculation_failed",
            "terminal_reader_busy",
            "terminal_reader_offline",
            "terminal_reader_timeout",
            // Not ready yet.
            "financial_connections_account_pending_account_numbers",
            "payout_reconciliation_not_ready",
        ],
    ),
];

/// Types that decide, whatever the code: those of v2, and the one about keys.
pub(super) const TYPES: Table = &[
    (Config, &["blocked_by_stripe", "capability_not_enabled", "feature_not_enabled", "quota_exceeded"]),
    // The session is renewed by the program; a key that came back with other parameters is a defect of it.
    (Caller, &["controlled_by_alternate_resource", "idempotency_error", "temporary_session_expired"]),
    (
        Business,
        &[
            "already_canceled",
            "cannot_proceed",
            "financial_account_not_open",
            "fx_quote_needs_refresh",
            "insufficient_funds",
            "invalid_payment_method",
            "invalid_payout_method",
            "invalid_vaulted_credential",
            "not_cancelable",
            "recipient_not_notifiable",
            "verification_attempt_failed",
            "verification_expired",
            "verification_not_initiated",
        ],
    ),
    (Transient, &["rate_limit"]),
];

/// Types of v1 that say something where there is no code. Old API versions and mocks have more of them.
pub(super) const V1_TYPES: Table = &[
    (Config, &["authentication_error"]),
    (Business, &["card_error"]),
    (Transient, &["api_connection_error", "api_error", "rate_limit_error"]),
    // Wrong parameters, wrong API keys and locked objects alike.
    (Other, &["invalid_request_error"]),
];

/// The errors of OAuth. (Source: Stripe's OAuth reference.)
pub(super) const OAUTH: Table = &[
    // The secret key, or the platform's registration.
    (Config, &["invalid_client"]),
    (Caller, &["invalid_request", "invalid_scope", "unsupported_grant_type", "unsupported_response_type"]),
    // The code was used, is too old, or was revoked: the user has to connect anew.
    (Business, &["invalid_grant"]),
];

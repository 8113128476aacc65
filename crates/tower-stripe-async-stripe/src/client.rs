//! The client.

use std::{fmt, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use http_body_util::Full;
use stripe_client_core::{CustomizedStripeRequest, SharedConfigBuilder, StripeClient};
use tower::{Service, ServiceExt};
use tower_stripe::{BoxError, ConfigError, TransportError};

use crate::{Error, answer, request, settings::Settings};

/// A call on its way.
type Sending = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

/// Makes async-stripe's calls over a [`StripeTransport`](tower_stripe::StripeTransport). See the [crate docs](crate).
///
/// Clone freely: clones share the transport, and with it its budget, breaker and limits. To read those, keep a clone of
/// the transport.
#[derive(Clone)]
pub struct Client {
    // Its type is hidden for a reason beyond a short name: what must hold of a boxed error cannot be shown for every
    // region, as a spawned call would have to; here it is shown once, where the client is made.
    send: Arc<dyn Fn(Request<Full<Bytes>>) -> Sending + Send + Sync>,
    settings: Arc<Settings>,
    intents: Extensions,
}

impl Client {
    /// Calls over this transport, with this API key.
    ///
    /// The transport may have layers around it, as [`Detach`](tower_stripe::detach::Detach), as long as they leave in its
    /// answers what it puts there: without a report, no success is believed.
    ///
    /// # Errors
    /// [`ConfigError`], when the key cannot be one: it is empty, has a character that is not visible ASCII, or is a
    /// publishable key (`pk_…`). The message does not show it.
    pub fn new<T, R, E>(transport: T, secret: impl Into<String>) -> Result<Self, ConfigError>
    where
        T: Service<Request<Full<Bytes>>, Response = Response<R>, Error = tower_stripe::Error<E>>
            + Clone
            + Send
            + Sync
            + 'static,
        T::Future: Send,
        R: Body<Data = Bytes> + Send,
        R::Error: fmt::Display,
        E: TransportError + Into<BoxError>,
    {
        Self::with_config(transport, SharedConfigBuilder::new(secret))
    }

    /// Calls over this transport, as async-stripe's own configuration says.
    ///
    /// ```
    /// use stripe_client_core::{RequestStrategy, SharedConfigBuilder};
    /// use tower_stripe::{StripeTransport, edge::hyper_util};
    /// use tower_stripe_async_stripe::Client;
    ///
    /// let config = SharedConfigBuilder::new("sk_test_123")
    ///     .account_id("acct_1".into())
    ///     .app_info("shop", Some("1.4".to_owned()), None)
    ///     .request_strategy(RequestStrategy::ExponentialBackoff(5));
    /// let client = Client::with_config(StripeTransport::new(hyper_util::Client::new()), config)?;
    /// # let _ = client;
    /// # Ok::<(), tower_stripe::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] with every problem at once: as of [`new`](Self::new); a URL that is not `http(s)://host[:port][/path]`;
    /// an account or client id, or an app info, that no header can hold; a time limit of zero; a strategy of zero
    /// attempts; and an idempotency key, which is for one call and not for all calls of a client.
    pub fn with_config<T, R, E>(transport: T, config: SharedConfigBuilder) -> Result<Self, ConfigError>
    where
        T: Service<Request<Full<Bytes>>, Response = Response<R>, Error = tower_stripe::Error<E>>
            + Clone
            + Send
            + Sync
            + 'static,
        T::Future: Send,
        R: Body<Data = Bytes> + Send,
        R::Error: fmt::Display,
        E: TransportError + Into<BoxError>,
    {
        let settings = Arc::new(Settings::check(config)?);
        let send = Arc::new(move |request| -> Sending {
            let call = transport.clone().oneshot(request);
            Box::pin(async move { answer::read(call.await.map_err(tower_stripe::Error::boxed)?).await })
        });
        Ok(Self { send, settings, intents: Extensions::new() })
    }

    /// The same client, whose calls also say `intent`: a [`Priority`](tower_stripe::Priority), a
    /// [`Deadline`](tower_stripe::Deadline), or another of [those that the transport
    /// knows](tower_stripe::vocab::intent).
    ///
    /// async-stripe's requests have no room for them, so a clone of the client carries them, into the extensions of
    /// each of its requests. For all calls of a batch job that is a clone to keep; for one call, one to drop:
    ///
    /// ```
    /// use stripe_core::customer::CreateCustomer;
    /// use tower_stripe::{Priority, ReportHandle};
    /// use tower_stripe_async_stripe::{Client, Error};
    ///
    /// async fn import(client: &Client, emails: &[String]) -> Result<(), Error> {
    ///     let client = client.with(Priority::Background);
    ///     for email in emails {
    ///         let handle = ReportHandle::new();
    ///         CreateCustomer::new().email(email).send(&client.with(handle.clone())).await?;
    ///         let report = handle.report();
    ///         println!("{:?} in {} attempts", report.request_ids().last(), report.attempts_made());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// A [`ReportHandle`](tower_stripe::ReportHandle) and an [`IdempotencyKey`](tower_stripe::IdempotencyKey) are for one
    /// call each: a second call with the same handle is refused.
    ///
    /// What a request is [customised](stripe_client_core::StripeRequest::customize) with stands above this, and this above
    /// the client's configuration. Two idempotency keys that differ are refused.
    #[must_use]
    pub fn with<I>(&self, intent: I) -> Self
    where
        I: Clone + Send + Sync + 'static,
    {
        let mut client = self.clone();
        client.intents.insert(intent);
        client
    }
}

impl StripeClient for Client {
    type Err = Error;

    /// Nothing is sent until the future is polled.
    fn execute(&self, request: CustomizedStripeRequest) -> impl Future<Output = Result<Bytes, Error>> + Send {
        let sending = request::build(&self.settings, self.intents.clone(), request).map(&*self.send);
        async move { sending?.await }
    }
}

/// Shows neither the API key nor an idempotency key.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

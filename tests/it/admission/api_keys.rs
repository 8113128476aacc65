//! What closes and opens the auth gate.

use super::*;

fn reply(status: u16) -> impl Fn(Request<Body>) -> Answer + Clone {
    move |_| Ok(answer(status))
}

/// Stripe's OAuth endpoint answers 401 `invalid_client` where a platform disconnects an account that is not connected to it.
#[tokio::test(start_paused = true)]
async fn a_401_about_an_oauth_client_does_not_block_payments() {
    let client = service_fn(|request: Request<Body>| async move {
        let status = if request.uri().host() == Some("connect.stripe.com") { 401 } else { 200 };
        reply(status)(request)
    });
    let stack = Gated::new(client, AuthGate::default());
    for _ in 0..3 {
        let request = Request::post("https://connect.stripe.com/oauth/deauthorize")
            .header("authorization", "Bearer sk_live_1")
            .body(Body::from("client_id=ca_1&stripe_user_id=acct_gone"))
            .expect("a request");
        let _ = stack.clone().oneshot(request).await;
    }
    let paid = stack.oneshot(payment()).await;
    assert!(paid.is_ok(), "{:?}", paid.err());
}

/// Stripe answers 404 to `GET /v1/` whatever the key: the stack's own GET says nothing about the key.
#[tokio::test(start_paused = true)]
async fn the_stacks_own_get_does_not_open_the_auth_gate() {
    let status = Arc::new(AtomicU32::new(401));
    let now = Arc::clone(&status);
    let client = service_fn(move |request: Request<Body>| {
        let status = if request.uri().path() == "/v1/" { 404 } else { now.load(SeqCst) as u16 };
        async move { Ok::<_, BoxError>(answer(status)) }
    });
    let auth = AuthGate::new(AuthGateConfig::builder().probe_interval(secs(1)).build().expect("valid"));
    let breaker = BreakerGate::new(BreakerConfig::builder().jitter_seed(1).build().expect("valid"));
    let stack = Gated::new(client, (auth.clone(), breaker.clone()));
    for _ in 0..3 {
        let _ = stack.clone().oneshot(read()).await;
    }
    assert_eq!(auth.handle().blocked(), 1);
    tokio::time::sleep(millis(10)).await;
    // Writes are down too, under another key.
    status.store(500, SeqCst);
    for _ in 0..10 {
        let mut other = payment();
        other.headers_mut().insert("authorization", "Bearer sk_live_2".parse().unwrap());
        let _ = stack.clone().oneshot(other).await;
    }
    assert_eq!(breaker.handle().state(partition(Traffic::Write)), State::Open);
    status.store(401, SeqCst);
    tokio::time::sleep(secs(6)).await;
    let _ = stack.clone().oneshot(payment()).await;
    assert_eq!(auth.handle().blocked(), 1, "a key that is not accepted counts as accepted");
}

/// An answer to what was sent before the gate closed says nothing about the key of today.
#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_open_the_auth_gate() {
    let client = service_fn(|request: Request<Body>| async move {
        if request.method() == "POST" {
            tokio::time::sleep(secs(3)).await;
            return Ok::<_, BoxError>(answer(200));
        }
        Ok(answer(401))
    });
    let auth = AuthGate::default();
    let stack = Gated::new(client, auth.clone());
    let before = tokio::spawn(stack.clone().oneshot(payment()));
    tokio::time::sleep(secs(1)).await;
    for _ in 0..3 {
        let _ = stack.clone().oneshot(read()).await;
    }
    assert_eq!(auth.handle().blocked(), 1);
    before.await.expect("no panic").expect("paid");
    assert_eq!(auth.handle().blocked(), 1);
}

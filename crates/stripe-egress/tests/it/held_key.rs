//! The sidecar holds the API key, so that applications hold none.

use std::path::PathBuf;

use stripe_egress::Settings;
use tokio::task::JoinSet;

use crate::support::{
    account, code, egress, get, header, millis, payment,
    process::Process,
    send, serve, sim, until,
    upstream::{Upstream, stripe_says},
    with,
};

/// A file with a key, for one test.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(name: &str, key: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stripe-egress-key-{}-{name}", std::process::id()));
        let file = Self(path);
        file.write(key);
        file
    }

    /// As a secret store does: the new file takes the place of the old one at once.
    fn write(&self, key: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{key}\n")).expect("a file");
        std::fs::rename(&new, &self.0).expect("the same folder");
    }

    fn settings(&self, more: &str) -> String {
        format!(
            "[governor]\nenabled = false\n[credentials]\nfile = '{}'\naccount = 'acct_1'\n{more}",
            self.0.display()
        )
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn what_a_client_gives_for_a_key_never_leaves_and_the_one_that_is_held_does() {
    let upstream = Upstream::answering(|_| stripe_says(200, "{}")).await;
    let key = KeyFile::new("stand-in", "sk_test_held");
    let egress = egress(upstream.addr(), &key.settings("")).await;
    let mut none = get("/v1/customers");
    none.headers_mut().remove("authorization");
    // `sk_test_stand_in:` by Basic authentication, as curl sends it.
    let mut basic = get("/v1/customers");
    basic.headers_mut().insert("authorization", "Basic c2tfdGVzdF9zdGFuZF9pbjo=".parse().expect("a header"));
    for request in [payment("8812"), get("/v1/customers"), none, basic] {
        assert_eq!(send(egress.addr(), request).await.status(), 200);
        let seen = upstream.take().pop().expect("it arrived");
        assert_eq!(seen.headers.get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer sk_test_held"]);
    }
}

#[tokio::test]
async fn a_client_that_takes_itself_to_be_in_the_other_mode_is_told_so() {
    let upstream = Upstream::answering(|_| stripe_says(200, "{}")).await;
    let key = KeyFile::new("mode", "sk_test_held");
    let egress = egress(upstream.addr(), &key.settings("")).await;
    let mut live = payment("8812");
    live.headers_mut().insert("authorization", "Bearer sk_live_stand_in".parse().expect("a header"));
    let response = send(egress.addr(), live).await;
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (400, "egress_wrong_mode"));
    assert_eq!((account(&response).1, upstream.take().len()), ("not_sent", 0));
}

#[tokio::test]
async fn without_a_key_of_its_own_it_can_still_insist_on_a_mode() {
    let sim = sim();
    let server = serve(&sim).await;
    let egress = egress(server.addr(), "[credentials]\nexpect_mode = 'live'").await;
    let response = send(egress.addr(), payment("8812")).await;
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (400, "egress_wrong_mode"));
    assert!(sim.log().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_load_loses_no_call_and_charges_none_twice() {
    let sim = sim();
    let server = serve(&sim).await;
    let key = KeyFile::new("rotation", "sk_test_sim");
    let egress = egress(server.addr(), &key.settings("look_every = '20s'")).await;
    let mut paying = JoinSet::new();
    for worker in 0..8 {
        let addr = egress.addr();
        paying.spawn(async move {
            for n in 0..40 {
                let order = format!("order-{worker}-{n}");
                let response = send(addr, with(payment(&order), "idempotency-key", &order)).await;
                assert_eq!(response.status(), 200, "{order}: {:?}", response.body());
                assert_eq!(header(&response, "idempotency-key"), Some(order.as_str()));
            }
        });
    }
    until(|| sim.ledger().total() >= 100).await;
    assert!(sim.roll_key("sk_test_sim", "sk_test_rolled"));
    key.write("sk_test_rolled");
    // The old one ends long before the file is looked into again by itself.
    assert!(sim.expire_key("sk_test_sim"));
    while let Some(done) = paying.join_next().await {
        done.expect("every call was answered");
    }
    let ledger = sim.ledger();
    assert_eq!((ledger.charged_twice(), ledger.executed_orders().len()), (Vec::new(), 320));
    let rejected = sim.log().iter().filter(|seen| seen.status.is_some_and(|status| status == 401)).count();
    assert!(rejected > 0, "the old key was not in use any more when it ended: nothing is shown");
}

#[tokio::test]
async fn a_signal_looks_for_a_newer_key_and_nothing_shows_either() {
    let upstream = Upstream::answering(|_| stripe_says(200, "{}")).await;
    let key = KeyFile::new("signal", "sk_test_first_secret");
    let process =
        Process::start(upstream.addr(), &key.settings("look_every = '1h'\n[log]\nlevel = 'trace'")).await;
    key.write("sk_test_second_secret");
    process.signal("HUP").await;
    let mut sent = String::new();
    for _ in 0..500 {
        send(process.addr(), get("/v1/customers")).await;
        let seen = upstream.take().pop().expect("it arrived");
        sent = seen.headers["authorization"].to_str().expect("text").to_owned();
        if sent.contains("second") {
            break;
        }
        tokio::time::sleep(millis(5)).await;
    }
    assert_eq!(sent, "Bearer sk_test_second_secret");
    process.signal("TERM").await;
    let (status, log) = process.ended().await;
    assert!(status.success() && log.contains("there is another api key, and it is in use"), "{log}");
    assert!(!log.contains("_secret"), "a key is in {log}");
}

#[tokio::test]
async fn where_the_key_is_must_be_said_once_and_be_true() {
    let problems = |text: &str| match Settings::from_toml(text).and_then(|settings| settings.check()) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    };
    for (text, problem) in [
        ("file = '/a'\nenv = 'B'", "credentials.file and credentials.env must not both be set"),
        ("account = 'acct_1'", "credentials must say where the key is"),
        ("expect_mode = 'test'", r#"credentials.expect_mode = "test" must be live or sandbox"#),
        ("env = 'NO_SUCH_VARIABLE'", "NO_SUCH_VARIABLE"),
        ("file = '/no/such/file'", "/no/such/file"),
        ("key = 'sk_live_x'", "credentials.key is not known"),
    ] {
        let told = problems(&format!("[credentials]\n{text}"));
        assert!(told.contains(problem), "{problem} is not in {told:?}");
    }
    let key = KeyFile::new("live", "sk_live_held_secret");
    let told = problems(&key.settings("expect_mode = 'sandbox'"));
    assert!(told.contains("sandbox") && told.contains("live") && !told.contains("_secret"), "{told}");
    let described =
        Settings::from_toml(&key.settings("")).expect("it is there").describe().expect("they can be");
    assert!(described.contains("mode = live") && !described.contains("_secret"), "{described}");
}

use std::{
    fs, process,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

/// A file of its own, that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(content: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let scratch = Self(std::env::temp_dir().join(format!("tower-stripe-{}-{number}", process::id())));
        scratch.write(content);
        scratch
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(&self.0, content).expect("writable");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn secret(key: &ApiKey) -> String {
    key.authorization().to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_key_is_read_and_the_next_one_too() {
    let scratch = Scratch::new("\n  sk_test_a \r\n");
    let file = KeyFile::new(&scratch.0).of_account("acct_1");
    assert_eq!(secret(&file.key().expect("a key")), "Bearer sk_test_a");
    scratch.write("sk_test_b\n");
    let newest = file.newest().await.expect("a key");
    assert_eq!((&*secret(&newest), newest.account()), ("Bearer sk_test_b", Some("acct_1")));
    assert_eq!(secret(&file.newest().await.expect("a key")), "Bearer sk_test_b");
    assert_eq!(file.look_interval(), Some(Duration::from_secs(10)));
    assert_eq!(file.describe(), format!("file {}", scratch.0.display()));
}

#[tokio::test]
async fn what_holds_no_key_is_an_error_that_names_the_file_and_shows_nothing() {
    let scratch = Scratch::new("sk_test_a");
    let file = KeyFile::new(&scratch.0);
    file.key().expect("a key");
    for content in
        ["", " \n", "sk_test_xyzzy sk_test_xyzzy", "pk_test_xyzzy", "whsec_xyzzy", "sk_test_xyzzy\u{e9}"]
    {
        scratch.write(content);
        let error = file.newest().await.expect_err(content);
        assert!(matches!(error, CredentialError::Invalid(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("xyzzy"), "{error:?}");
    }
    scratch.write([0xff, 0xfe]);
    let error = file.newest().await.expect_err("not text");
    assert!(matches!(error, CredentialError::Invalid(InvalidApiKey::Character)), "{error:?}");
    scratch.write(vec![b'a'; LIMIT + 1]);
    let error = file.newest().await.expect_err("large").to_string();
    assert_eq!(error, format!("the file {} has more than 4096 bytes", scratch.0.display()));
    fs::remove_file(&scratch.0).expect("it is there");
    let error = file.newest().await.expect_err("gone").to_string();
    assert_eq!(error, format!("the file {} cannot be read (entity not found)", scratch.0.display()));
}

/// What is there first may be the beginning of a key, which looks like one.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_being_written_keeps_the_old_key() {
    let scratch = Scratch::new("sk_test_a");
    let file = KeyFile::new(&scratch.0);
    file.key().expect("a key");
    scratch.write("sk_test_b");
    // Between the two looks; the clock stands still while a file is read.
    let rest = async {
        sleep(SETTLED / 2).await;
        scratch.write("sk_test_bcd");
    };
    let (newest, ()) = tokio::join!(file.newest(), rest);
    let error = newest.expect_err("it changed");
    assert!(matches!(error, CredentialError::Changing { .. }), "{error:?}");
    assert_eq!(secret(&file.newest().await.expect("a key")), "Bearer sk_test_bcd");
}

//! TLS for the server, with a certificate of its own making.

use std::{io, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// The hosts that Stripe answers on.
const STRIPE: [&str; 4] =
    ["api.stripe.com", "files.stripe.com", "connect.stripe.com", "meter-events.stripe.com"];

/// An acceptor for HTTP/2 and HTTP/1.1, and the certificate that it shows: valid for `localhost`, the loopback addresses
/// and Stripe's hosts, so that a client can be led here by name alone.
pub(crate) fn acceptor() -> io::Result<(TlsAcceptor, Vec<u8>)> {
    let names = ["localhost", "127.0.0.1", "::1"].into_iter().chain(STRIPE).map(str::to_owned);
    let names = names.collect::<Vec<_>>();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), cert.der().to_vec()))
}

//! Handshakes that come to nothing.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The content type of a handshake record.
const HANDSHAKE: u8 = 22;

/// Neither a record of TLS nor a word of HTTP.
const GARBAGE: [u8; 32] = [0xde; 32];

/// Takes the client's first record, or what there is of something else.
pub(super) async fn client_hello(client: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    if client.read_u8().await? != HANDSHAKE {
        return Ok(());
    }
    let mut rest = [0; 4];
    client.read_exact(&mut rest).await?;
    let mut left = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
    let mut scratch = [0; 1024];
    while left > 0 {
        let most = left.min(scratch.len());
        match client.read(&mut scratch[..most]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            taken => left -= taken,
        }
    }
    Ok(())
}

/// Sends a fatal alert, in a record of TLS 1.2, as every version does at this point.
pub(super) async fn alert(client: &mut TcpStream, description: u8) -> io::Result<()> {
    client.write_all(&[21, 3, 3, 0, 2, 2, description]).await
}

/// Sends garbage.
pub(super) async fn garbage(client: &mut TcpStream) -> io::Result<()> {
    client.write_all(&GARBAGE).await
}

/// Takes and drops everything until the sender closes.
pub(super) async fn drain(from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut scratch = [0; 4096];
    while from.read(&mut scratch).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_hello_is_taken_to_its_last_byte_and_no_further() {
        let mut record = vec![22, 3, 1, 0x08, 0];
        record.extend([1; 2048]);
        let whole = record.len();
        record.extend(*b"next");
        let mut rest = &record[..];
        client_hello(&mut rest).await.expect("a whole record");
        assert_eq!(rest, b"next");
        for cut in 0..whole {
            client_hello(&mut &record[..cut]).await.expect_err("it is not whole");
        }
    }

    #[tokio::test]
    async fn something_else_is_not_waited_for() {
        client_hello(&mut &b"GET"[..]).await.expect("the first byte says it");
    }
}

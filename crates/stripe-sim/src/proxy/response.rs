//! Where the first response of HTTP/1.1 ends in a stream of bytes.

/// The longest line that is looked at.
const LONGEST_LINE: usize = 8 * 1024;

/// A reader of one response.
#[derive(Debug)]
pub(super) struct Response {
    state: State,
    line: Vec<u8>,
    head: Head,
}

#[derive(Debug, Default)]
struct Head {
    status: Option<u16>,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Body {
        left: u64,
    },
    ChunkSize,
    Chunk {
        left: u64,
    },
    ChunkEnd,
    Trailers,
    /// It is no response whose end could be told.
    Lost,
    Ended,
}

impl Response {
    pub(super) fn new() -> Self {
        Self { state: State::Head, line: Vec::new(), head: Head::default() }
    }

    /// Reads on. Returns how many of these bytes belong to the response if it ends within them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            match self.state {
                State::Lost | State::Ended => return None,
                State::Body { left } => {
                    let (some, left) = part(rest, left);
                    taken += some;
                    self.state = if left == 0 { State::Ended } else { State::Body { left } };
                }
                State::Chunk { left } => {
                    let (some, left) = part(rest, left);
                    taken += some;
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk { left } };
                }
                State::Head | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let newline = rest.iter().position(|byte| *byte == b'\n');
                    let some = newline.map_or(rest.len(), |at| at + 1);
                    if self.line.len() + some > LONGEST_LINE {
                        self.state = State::Lost;
                        return None;
                    }
                    self.line.extend_from_slice(&rest[..some]);
                    taken += some;
                    if newline.is_some() {
                        let line = std::mem::take(&mut self.line);
                        let line = str::from_utf8(&line).unwrap_or_default().trim_end_matches(['\r', '\n']);
                        self.state = self.next(line);
                    }
                }
            }
            if self.state == State::Ended {
                return Some(taken);
            }
        }
        None
    }

    /// The state after a line.
    fn next(&mut self, line: &str) -> State {
        match self.state {
            State::Head if self.head.status.is_none() => {
                self.head.status = status(line);
                if self.head.status.is_some() { State::Head } else { State::Lost }
            }
            State::Head if !line.is_empty() => {
                self.head.line(line);
                State::Head
            }
            State::Head => {
                let head = std::mem::take(&mut self.head);
                match head {
                    Head { status: Some(101), .. } => State::Lost,
                    Head { status: Some(100..200), .. } => State::Head,
                    Head { status: Some(204 | 304), .. } => State::Ended,
                    Head { chunked: true, .. } => State::ChunkSize,
                    Head { length: Some(0), .. } => State::Ended,
                    Head { length: Some(left), .. } => State::Body { left },
                    _ => State::Lost,
                }
            }
            State::ChunkSize => {
                let size = line.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(size, 16) {
                    Ok(0) => State::Trailers,
                    Ok(left) => State::Chunk { left },
                    Err(_) => State::Lost,
                }
            }
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Ended,
            State::Trailers => State::Trailers,
            _ => State::Lost,
        }
    }
}

impl Head {
    fn line(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else { return };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            self.length = value.parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.chunked = value.to_ascii_lowercase().ends_with("chunked");
        }
    }
}

fn status(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

/// How many of `rest` belong to a part that lacks `left` bytes, and how many it lacks then.
fn part(rest: &[u8], left: u64) -> (usize, u64) {
    let some = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
    // No more than `left` by construction.
    (some, left.saturating_sub(u64::try_from(some).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the response ends, read in runs of `run` bytes.
    fn end(bytes: &[u8], run: usize) -> Option<usize> {
        let mut response = Response::new();
        bytes
            .chunks(run)
            .scan(0, |read, chunk| {
                let before = *read;
                *read += chunk.len();
                Some(response.read(chunk).map(|taken| before + taken))
            })
            .flatten()
            .next()
    }

    #[test]
    fn the_end_is_found_however_the_bytes_are_cut() {
        let table: [&str; 6] = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.0 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 402 \r\ncontent-length: 1\r\n\r\nx",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n\n\r\n0\r\nt: 1\r\n\r\n",
        ];
        for text in table {
            let whole = format!("{text}HTTP/1.1 200 OK\r\n");
            for run in 1..=whole.len() {
                assert_eq!(end(whole.as_bytes(), run), Some(text.len()), "{text:?} in runs of {run}");
            }
        }
    }

    #[test]
    fn what_is_no_such_response_has_no_end() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(LONGEST_LINE));
        let table: [&[u8]; 8] = [
            b"\x16\x03\x03\x00\x02\n\n\n\n",
            b"PRI * HTTP/2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nup to the close\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 204 \r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
            long.as_bytes(),
        ];
        for bytes in table {
            for run in [1, 7, bytes.len()] {
                assert_eq!(end(bytes, run), None, "{:?}", String::from_utf8_lossy(bytes));
            }
        }
    }
}

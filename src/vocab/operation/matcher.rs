//! A trie over the segments of all templates. A node has at most one parameter; its literals are found by hash.

use http::Method;

use super::table::{BUCKETS, EDGES, NODES, V1};

/// In place of an operation, or of a node, that is not there.
pub(super) const NONE: u16 = u16::MAX;

/// How many buckets the literals are hashed to, as a power of two. More than there are literals: few buckets hold two.
pub(super) const BUCKET_BITS: u32 = 9;

pub(super) struct Node {
    /// What ends here, by method: `GET`, `POST`, `DELETE`.
    pub(super) operations: [u16; 3],
    /// Where any segment leads that is none of the literals.
    pub(super) parameter: u16,
    /// Whether it has literals: without, there is no need to hash.
    pub(super) literals: bool,
}

/// A literal, and the nodes that it connects.
pub(super) struct Edge {
    pub(super) from: u16,
    pub(super) literal: &'static str,
    pub(super) to: u16,
}

/// The index of the operation with this method and path.
pub(super) fn find(method: &Method, path: &str) -> Option<u16> {
    let method = match *method {
        Method::GET => 0,
        Method::POST => 1,
        Method::DELETE => 2,
        _ => return None,
    };
    // Nearly all paths begin so: this saves them a step.
    match path.strip_prefix("/v1/") {
        Some(rest) => descend(V1, method, rest.as_bytes()),
        None => descend(0, method, path.strip_prefix('/')?.as_bytes()),
    }
}

fn descend(mut node: u16, method: usize, mut rest: &[u8]) -> Option<u16> {
    loop {
        let (segment, tail) = split(rest);
        let here = &NODES[usize::from(node)];
        let literal = if here.literals { follow(node, segment) } else { None };
        node = match literal {
            // Both are possible: the literal wins if the rest of the path fits.
            Some(to) if here.parameter != NONE => {
                if let found @ Some(_) = arrive(to, method, tail) {
                    return found;
                }
                here.parameter
            }
            Some(to) => to,
            None if here.parameter != NONE && !segment.is_empty() => here.parameter,
            None => return None,
        };
        match tail {
            Some(tail) => rest = tail,
            None => return arrive(node, method, None),
        }
    }
}

fn arrive(node: u16, method: usize, tail: Option<&[u8]>) -> Option<u16> {
    match tail {
        Some(tail) => descend(node, method, tail),
        None => Some(NODES[usize::from(node)].operations[method]).filter(|&operation| operation != NONE),
    }
}

/// The first segment, and what follows its slash.
fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|&byte| byte == b'/') {
        Some(end) => (&path[..end], Some(&path[end + 1..])),
        None => (path, None),
    }
}

/// The node that a literal leads to.
fn follow(from: u16, segment: &[u8]) -> Option<u16> {
    let bucket = bucket(from, segment)?;
    let edges = &EDGES[usize::from(BUCKETS[bucket])..usize::from(BUCKETS[bucket + 1])];
    let edge = edges.iter().find(|edge| edge.from == from && edge.literal.as_bytes() == segment)?;
    Some(edge.to)
}

/// The bucket of a literal: its length and three of its bytes tell nearly all siblings apart.
pub(super) fn bucket(from: u16, segment: &[u8]) -> Option<usize> {
    let (&first, &last) = (segment.first()?, segment.last()?);
    let sample = [first, segment[segment.len() / 2], last, segment.len() as u8];
    let hash =
        (u64::from(from) << 32 | u64::from(u32::from_le_bytes(sample))).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((hash >> (u64::BITS - BUCKET_BITS)) as usize)
}

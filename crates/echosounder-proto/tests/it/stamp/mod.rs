//! STAMP in virtual time.

mod interop;
mod loops;
mod loss_direction;
mod packet;
mod reflector;
mod sender;
mod time;

use std::net::SocketAddr;

use echosounder_proto::WallTime;
use echosounder_proto::stamp::{Key, Reflector, ReflectorConfig, RequestContext};

use crate::FixedKey;

/// 2026-11-22T11:19:36.123456789Z.
const NOW: u64 = 1_795_346_376_123_456_789;

fn at(nanos: u64) -> WallTime {
    WallTime::from_nanos(nanos)
}

fn key() -> Key {
    Key::new(b"a key of 24 random bytes").unwrap()
}

fn reflector(change: impl FnOnce(&mut ReflectorConfig)) -> Reflector<FixedKey> {
    let mut config = ReflectorConfig::default();
    change(&mut config);
    Reflector::new(config, FixedKey::default())
}

fn source(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// The context of a request from port 40000 that arrived with TTL 61 and DSCP 46, ECN 1.
fn context(received: u64) -> RequestContext {
    let mut context = RequestContext::new(source(40_000), at(received));
    (context.ttl, context.traffic_class) = (Some(61), Some(46 << 2 | 1));
    context
}

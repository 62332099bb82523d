//! STAMP in virtual time.

mod packet;
mod time;

use echosounder_proto::WallTime;

fn at(nanos: u64) -> WallTime {
    WallTime::from_nanos(nanos)
}

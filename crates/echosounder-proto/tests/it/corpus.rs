//! Replays the corpus of the fuzzer. The properties are links into `fuzz/`, so that this crate can
//! be packaged without the corpus.

#[path = "properties/filter.rs"]
mod filter;
#[path = "properties/framing.rs"]
mod framing;
#[path = "properties/icmp.rs"]
mod icmp;
#[path = "properties/in_flight.rs"]
mod in_flight;
#[path = "properties/meter.rs"]
mod meter;
#[path = "properties/payload.rs"]
mod payload;
#[path = "properties/prober.rs"]
mod prober;
#[path = "properties/reader.rs"]
mod reader;
#[path = "properties/replay.rs"]
mod replay;
#[path = "properties/responder.rs"]
mod responder;
#[path = "properties/script.rs"]
mod script;
#[path = "properties/stamp_reply.rs"]
mod stamp_reply;
#[path = "properties/stamp_request.rs"]
mod stamp_request;
#[path = "properties/stamp_tlv.rs"]
mod stamp_tlv;
#[path = "properties/template.rs"]
mod template;
#[path = "properties/timestamp.rs"]
mod timestamp;

use replay::replay;

#[test]
fn framing_corpus_satisfies_the_properties() {
    replay("framing", framing::holds);
}

#[test]
fn icmp_corpus_satisfies_the_properties() {
    replay("icmp", icmp::holds);
}

#[test]
fn in_flight_corpus_satisfies_the_properties() {
    replay("in_flight", in_flight::holds);
}

#[test]
fn payload_corpus_satisfies_the_properties() {
    replay("payload", payload::holds);
}

#[test]
fn prober_corpus_satisfies_the_properties() {
    replay("prober", prober::holds);
}

#[test]
fn reader_corpus_satisfies_the_properties() {
    replay("reader", reader::holds);
}

#[test]
fn responder_corpus_satisfies_the_properties() {
    replay("responder", responder::holds);
}

#[test]
fn template_corpus_satisfies_the_properties() {
    replay("template", template::holds);
}

#[test]
fn timestamp_corpus_satisfies_the_properties() {
    replay("timestamp", timestamp::holds);
}

#[test]
fn filter_corpus_satisfies_the_properties() {
    replay("filter", filter::holds);
}

#[test]
fn meter_corpus_satisfies_the_properties() {
    replay("meter", meter::holds);
}

#[test]
fn stamp_request_corpus_satisfies_the_properties() {
    replay("stamp_request", stamp_request::holds);
}

#[test]
fn stamp_reply_corpus_satisfies_the_properties() {
    replay("stamp_reply", stamp_reply::holds);
}

#[test]
fn stamp_tlv_corpus_satisfies_the_properties() {
    replay("stamp_tlv", stamp_tlv::holds);
}

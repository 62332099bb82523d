//! Properties of templates, for any text and any values of the fields.

use echosounder_proto::{
    Framing, LocalTime, PREFIX_MAX, Responder, StampContext, Template, WallTime, starts_with_timestamp,
};

use super::script::Script;

/// Reads the input as a script: the values of the fields, and the text of a template.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let [peer, host] = [(); 2].map(|()| {
        let len = script.byte();
        String::from_utf8_lossy(script.bytes(len)).into_owned()
    });
    let [rx, tx] = [(); 2].map(|()| {
        let digits = script.bytes(8);
        WallTime::from_nanos(digits.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    });
    let context =
        StampContext { peer: &peer, host: &host, rx, tx, ..StampContext::anonymous(&LocalTime::EXAMPLE) };
    let Ok(text) = std::str::from_utf8(script.0) else { return };
    match text.parse() {
        Ok(template) => check(text, &template, &context),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?} prints");
        }
    }
}

fn check(text: &str, template: &Template, context: &StampContext<'_>) {
    let prefix = render(template, context);
    assert!(prefix.len() <= PREFIX_MAX, "a prefix is bounded");
    assert!(prefix.iter().all(|byte| matches!(byte, b' '..=b'~')), "a prefix prints");
    assert_eq!(template.is_none(), matches!(text, "" | "none"));
    if !text.contains('{') && !matches!(text, "ctime" | "rfc3339" | "unix" | "ns" | "none") {
        assert_eq!(prefix, text.as_bytes(), "text without fields is the prefix");
    }
    if template.starts_with_builtin() {
        assert!(starts_with_timestamp(&prefix), "a reply is recognised");
    }
    if let Some(cached) = template.render_per_second(context.local_time, context.host, Vec::new()) {
        assert_eq!(cached, prefix, "the prefix of a second is that of its messages");
    }

    let anonymous =
        StampContext { host: context.host, seq: context.seq, ..StampContext::anonymous(context.local_time) };
    let other_times = StampContext { rx: anonymous.rx, tx: anonymous.tx, ..*context };
    assert!(template.uses_rx_tx() || render(template, &other_times) == prefix);
    let other_peer = StampContext { peer: anonymous.peer, ..*context };
    assert!(template.uses_addresses() || render(template, &other_peer) == prefix);
}

/// Returns the reply to an empty message, which is the prefix.
fn render(stamp: &Template, context: &StampContext<'_>) -> Vec<u8> {
    let responder = Responder { stamp: stamp.clone(), framing: Framing::Message };
    let mut out = b"before".to_vec();
    responder.respond_to_empty(&mut context.clone(), &mut out);
    out.strip_prefix(b"before").expect("what the buffer contains stays").to_vec()
}

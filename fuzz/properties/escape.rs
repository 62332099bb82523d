//! Properties of what the program shows of a peer's bytes on a terminal, for any bytes.

use std::io::Write;

use super::escape::{Escaped, Harmless};
use super::script::{Script, cut};
use super::terminal_text::TerminalText;

/// Reads the input as a script: how the bytes arrive, and the bytes.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let pieces = script.lengths();
    let bytes = script.0;

    let shown = Escaped(bytes).to_string();
    assert!(!shown.contains(char::is_control), "a terminal acts on nothing in {shown:?}");
    assert_eq!(unescaped(&shown), bytes, "different bytes are shown differently");
    let message = String::from_utf8_lossy(bytes);
    assert!(!Harmless(&message).to_string().contains(char::is_control));
    assert_eq!(Harmless(&shown).to_string(), shown, "a message is escaped once");

    let whole = on_terminal(bytes, &[]);
    assert!(!whole.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
    assert!(whole.is_empty() || whole.ends_with('\n'), "the last line ends");
    assert_eq!(on_terminal(bytes, &pieces), whole, "the segmentation does not matter");
}

fn on_terminal(bytes: &[u8], pieces: &[usize]) -> String {
    let mut out = Vec::new();
    let mut text = TerminalText::new(&mut out);
    cut(bytes, pieces).iter().for_each(|piece| text.write_all(piece).expect("memory takes all"));
    drop(text);
    String::from_utf8(out).expect("the terminal is written UTF-8")
}

/// Reverses the escapes.
fn unescaped(shown: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = shown;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (kind, after) = escape.split_at_checked(1).expect("a backslash begins an escape");
        let number = |digits: &str| u32::from_str_radix(digits, 16).expect("hexadecimal digits");
        rest = match kind {
            "x" => {
                bytes.push(u8::try_from(number(&after[..2])).expect("two digits are a byte"));
                &after[2..]
            }
            "u" => {
                let (digits, after) = after[1..].split_once('}').expect("a closing brace");
                let c = char::from_u32(number(digits)).expect("a character");
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            _ => {
                let plain = match kind {
                    "n" => b'\n',
                    "r" => b'\r',
                    "t" => b'\t',
                    _ => b'\\',
                };
                bytes.push(plain);
                after
            }
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

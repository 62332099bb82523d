//! Untrusted bytes, made harmless for terminals and logs.

use std::fmt::{self, Display, Write};

/// Displays bytes so that nothing in them acts on a terminal or misleads a reader. Different bytes
/// are displayed differently.
///
/// Control characters, invalid UTF-8, and characters that are invisible or change the direction of
/// text are escaped as in Rust and C: `\n`, `\x1b`, `\u{202e}`; a backslash as `\\`.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            chunk.valid().chars().try_for_each(|c| escape(c, f))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Displays a message that contains untrusted characters so that nothing in it acts on a terminal.
/// Parts of it may be escaped already, so a backslash stays unchanged.
pub(crate) struct Harmless<'a>(pub(crate) &'a str);

impl Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| if c == '\\' { f.write_char(c) } else { escape(c, f) })
    }
}

fn escape(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\\' => f.write_str("\\\\"),
        '\0'..='\x7f' if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c)),
        c if is_unsafe(c) => write!(f, "\\u{{{:x}}}", u32::from(c)),
        c => f.write_char(c),
    }
}

/// Returns whether a character outside ASCII acts on the text or is invisible: C1 controls,
/// direction, zero width, separators, tags, variation selectors, private use and noncharacters.
fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        Escaped(bytes).to_string()
    }

    #[test]
    fn controls_are_escaped_and_visible_text_is_not() {
        assert_eq!(escaped("hello, Wörld – 你好 👋".as_bytes()), "hello, Wörld – 你好 👋");
        assert_eq!(
            escaped(b"\x1b]52;c;eA==\x07\x1b[2J\r\n\t\\"),
            "\\x1b]52;c;eA==\\x07\\x1b[2J\\r\\n\\t\\\\"
        );
        assert_eq!(escaped(b"\x9b31m\xc2\x9b31m\xff"), "\\x9b31m\\u{9b}31m\\xff");
        assert_eq!(escaped("a\u{202e}b\u{200b}c\u{e0041}".as_bytes()), "a\\u{202e}b\\u{200b}c\\u{e0041}");
    }

    #[test]
    fn message_is_escaped_once() {
        let message = "write /tmp/\x1b[31m\u{9b}: \\u{1b}, \"C:\\\"";
        let shown = "write /tmp/\\x1b[31m\\u{9b}: \\u{1b}, \"C:\\\"";
        assert_eq!(Harmless(message).to_string(), shown);
    }

    /// Counts the actions of a terminal other than displaying characters.
    #[derive(Default)]
    struct Actions(usize);

    impl vt100::Callbacks for Actions {
        fn audible_bell(&mut self, _: &mut vt100::Screen) {
            self.0 += 1;
        }

        fn set_window_title(&mut self, _: &mut vt100::Screen, _: &[u8]) {
            self.0 += 1;
        }

        fn unhandled_control(&mut self, _: &mut vt100::Screen, _: u8) {
            self.0 += 1;
        }

        fn unhandled_escape(&mut self, _: &mut vt100::Screen, _: Option<u8>, _: Option<u8>, _: u8) {
            self.0 += 1;
        }

        fn unhandled_osc(&mut self, _: &mut vt100::Screen, _: &[&[u8]]) {
            self.0 += 1;
        }
    }

    #[test]
    fn terminal_displays_a_million_strings_and_does_nothing_else() {
        let [row, columns] = [1, 80].map(|size| std::num::NonZero::new(size).unwrap());
        let mut terminal = vt100::Parser::new_with_callbacks(row, columns, 0, Actions::default());
        let mut random = 0x5eed_u64;
        let mut number = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 32).to_be_bytes()
        };
        for _ in 0..1_000_000 {
            // Half of them begin like an escape sequence.
            let [.., kind, a, b, c] = number();
            let bytes =
                if kind < 128 { [0x1b, b"[]P_\x9b"[usize::from(a % 5)], b, c] } else { [kind, a, b, c] };
            let shown = escaped(&bytes);
            assert!(shown.chars().all(|c| !c.is_control() && !is_unsafe(c)), "{bytes:?}");
            terminal.process(b"\r\x1b[K");
            terminal.process(shown.as_bytes());
            assert_eq!(terminal.callbacks().0, 0, "{bytes:?}");
        }
        terminal.process(b"\r\x1b[K");
        terminal.process(escaped(b"\x1b[2J\x1b]0;title\x07").as_bytes());
        assert_eq!(terminal.screen().contents(), "\\x1b[2J\\x1b]0;title\\x07");
    }

    /// The controls (Cc), the formats (Cf) and the separators of lines (Zl, Zp) outside ASCII, by
    /// Unicode 14.0.0.
    const ACTING: [(u32, u32); 22] = [
        (0x80, 0x9f),
        (0xad, 0xad),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x180e, 0x180e),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x2064),
        (0x2066, 0x206f),
        (0xfeff, 0xfeff),
        (0xfff9, 0xfffb),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x13438),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0001, 0xe0001),
        (0xe0020, 0xe007f),
    ];

    #[test]
    fn every_control_of_unicode_is_escaped() {
        for c in ACTING.iter().flat_map(|&(first, last)| first..=last).filter_map(char::from_u32) {
            assert_eq!(escaped(c.to_string().as_bytes()), format!("\\u{{{:x}}}", u32::from(c)));
        }
    }

    #[test]
    fn strings_of_two_bytes_are_harmless_and_distinct() {
        let mut seen = std::collections::HashSet::new();
        for pair in 0..=u16::MAX {
            let shown = escaped(&pair.to_be_bytes());
            assert!(shown.chars().all(|c| !c.is_control() && !is_unsafe(c)), "{pair:04x}");
            assert!(seen.insert(shown), "{pair:04x}");
        }
    }

    /// Counts everything that a terminal does apart from displaying characters.
    #[derive(Default)]
    struct Dispatches(usize);

    impl vte::Perform for Dispatches {
        fn execute(&mut self, byte: u8) {
            // Line ends and tabs belong to text that is shown line by line.
            self.0 += usize::from(!matches!(byte, b'\n' | b'\t'));
        }

        fn hook(&mut self, _: &vte::Params, _: &[u8], _: bool, _: char) {
            self.0 += 1;
        }

        fn osc_dispatch(&mut self, _: &[&[u8]], _: bool) {
            self.0 += 1;
        }

        fn csi_dispatch(&mut self, _: &vte::Params, _: &[u8], _: bool, _: char) {
            self.0 += 1;
        }

        fn esc_dispatch(&mut self, _: &[u8], _: bool, _: u8) {
            self.0 += 1;
        }
    }

    /// Returns what a terminal does with this text, and then with the characters that would end a
    /// sequence.
    fn dispatches(text: &[u8]) -> usize {
        let (mut parser, mut done) = (vte::Parser::new(), Dispatches::default());
        parser.advance(&mut done, text);
        parser.advance(&mut done, b"0;1mABHJKhlnq");
        done.0
    }

    /// Returns the bytes as each output for people or for programs shows them.
    fn shown(bytes: &[u8]) -> [Vec<u8>; 4] {
        use std::io::Write;

        use crate::render::{json, terminal_text::TerminalText};
        let mut lines = Vec::new();
        TerminalText::new(&mut lines).write_all(bytes).unwrap();
        let lossy = String::from_utf8_lossy(bytes);
        let mut object = Vec::new();
        let time = json::EventTime::from_unix_nanos(7);
        json::event(&mut object, &time, &json::Bytes::from(lossy.as_bytes())).unwrap();
        [escaped(bytes).into(), Harmless(&lossy).to_string().into(), lines, object]
    }

    #[test]
    fn terminal_dispatches_no_control_sequence() {
        assert_eq!(dispatches(b"\x1b["), 1, "the parser sees sequences");
        let starts =
            [b"".as_slice(), b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b", b"\xc2\x9b", b"\x9b", b"\xc2\x9d"];
        for pair in 0..=u16::MAX {
            let start = starts[usize::from(pair) % starts.len()];
            let pair = pair.to_be_bytes();
            for bytes in [pair.to_vec(), [start, &pair, b"\x07\x1b\\"].concat()] {
                for text in shown(&bytes) {
                    assert_eq!(dispatches(&text), 0, "{bytes:?} as {:?}", String::from_utf8_lossy(&text));
                }
            }
        }
    }
}

//! Text that becomes part of a page: everything that is not our own markup goes through [`Text`].

use std::fmt::{self, Display, Write};

use super::super::escape::Escaped;

/// Untrusted text on a page. Nothing in it acts as markup or changes the direction of the text
/// around it.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Entities(f), "{}", Escaped(self.0.as_bytes()))
    }
}

/// Writes the characters of markup as entities.
struct Entities<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Entities<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            c => self.0.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_acting_characters_are_escaped() {
        assert_eq!(
            Text("<b a=\"'\">&\u{1b}\u{202e}\0é👋\n").to_string(),
            "&lt;b a=&quot;&#39;&quot;&gt;&amp;\\x1b\\u{202e}\\x00é👋\\n"
        );
    }

    #[test]
    fn no_character_is_markup_to_a_parser() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = Text(c.encode_utf8(&mut [0; 4])).to_string();
            let bare = text.replace(['<', '>', '"', '\''], "\0");
            assert_eq!(bare, text, "{c:?}");
            assert!(!text.contains('&') || text.ends_with(';'), "{c:?}");
        }
    }
}

//! Text that becomes part of a page.

use std::fmt::{self, Display, Write};

use super::super::escape::Escaped;

/// A stranger's text on a page: nothing in it acts, neither as markup nor on the direction of what is around it.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Entities(f), "{}", Escaped(self.0.as_bytes()))
    }
}

/// Writes what markup is made of as entities.
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
    fn what_is_markup_and_what_acts_is_escaped() {
        assert_eq!(
            Text("<b a=\"'\">&\u{1b}\u{202e}\0é👋\n").to_string(),
            "&lt;b a=&quot;&#39;&quot;&gt;&amp;\\x1b\\u{202e}\\x00é👋\\n"
        );
    }

    #[test]
    fn of_any_character_a_parser_of_markup_takes_nothing_for_its_own() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = Text(c.encode_utf8(&mut [0; 4])).to_string();
            let bare = text.replace(['<', '>', '"', '\''], "\0");
            assert_eq!(bare, text, "{c:?}");
            assert!(!text.contains('&') || text.ends_with(';'), "{c:?}");
        }
    }
}

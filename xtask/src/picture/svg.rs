//! A terminal's screen as SVG.

use std::fmt::Write;
use std::num::NonZeroU16;

use vt100::{Cell, Color, Parser, Screen};

/// The size of a character cell and of the border, in pixels.
const CELL_WIDTH: f32 = 8.4;
const CELL_HEIGHT: u16 = 18;
const BORDER: u16 = 16;
const FONT_SIZE: u16 = 14;

const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d6d9df";
/// The sixteen named colours of a terminal: normal and bright black, red, green, yellow, blue,
/// magenta, cyan, white.
const PALETTE: [&str; 16] = [
    "#3b4048", "#f07178", "#8fd17f", "#e8c26a", "#6cb0f5", "#d08ff0", "#5fd0d0", "#d6d9df", "#6b7280",
    "#ff8b92", "#a5e394", "#f7d98a", "#8cc4ff", "#e0abff", "#7fe3e3", "#ffffff",
];

/// Returns a picture of a terminal of `columns` characters after a command line and its output,
/// which may contain ANSI sequences.
pub(super) fn draw(command: &str, output: &str, columns: u16) -> String {
    // Lines longer than the terminal continue on the next row, so there may be more rows than
    // lines.
    let rows = output.len() / usize::from(columns) + output.lines().count() + 2;
    let rows = NonZeroU16::new(u16::try_from(rows).unwrap_or(u16::MAX)).unwrap_or(NonZeroU16::MIN);
    let mut parser = Parser::new(rows, NonZeroU16::new(columns).unwrap_or(NonZeroU16::MIN), 0);
    parser.process(format!("\x1b[1m$ {command}\x1b[0m\r\n").as_bytes());
    // On a terminal the kernel turns each newline into a carriage return and a newline: ONLCR,
    // termios(3).
    parser.process(output.replace('\n', "\r\n").as_bytes());
    let used = 1 + (0..rows.get()).rev().find(|&row| !is_blank(parser.screen(), row, columns)).unwrap_or(0);
    render(command, parser.screen(), used, columns)
}

fn is_blank(screen: &Screen, row: u16, columns: u16) -> bool {
    (0..columns).all(|column| screen.cell(row, column).is_none_or(|cell| !cell.has_contents()))
}

fn render(command: &str, screen: &Screen, rows: u16, columns: u16) -> String {
    let width = (f32::from(columns) * CELL_WIDTH).ceil() + 2.0 * f32::from(BORDER);
    let height = rows * CELL_HEIGHT + 2 * BORDER;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" font-size=\"{FONT_SIZE}\" \
         font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\">\n\
         <title>Output of {}</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n",
        escape(command)
    );
    for row in 0..rows {
        for run in runs(screen, row, columns) {
            run.write(row, &mut svg);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Characters of one row with the same appearance.
struct Run<'a> {
    start: u16,
    width: u16,
    text: String,
    cell: &'a Cell,
}

impl Run<'_> {
    fn write(&self, row: u16, svg: &mut String) {
        let x = f32::from(BORDER) + f32::from(self.start) * CELL_WIDTH;
        let top = BORDER + row * CELL_HEIGHT;
        let length = f32::from(self.width) * CELL_WIDTH;
        let (mut fill, mut back) =
            (color(self.cell.fgcolor(), FOREGROUND), color(self.cell.bgcolor(), BACKGROUND));
        if self.cell.inverse() {
            (fill, back) = (back, fill);
        }
        // Writing to a string cannot fail.
        if back != BACKGROUND {
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{length:.1}\" height=\"{CELL_HEIGHT}\" fill=\"{back}\"/>"
            );
        }
        // With its length fixed, a run keeps its columns in every font.
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
             xml:space=\"preserve\" fill=\"{fill}\"",
            top + CELL_HEIGHT - 5
        );
        for (is_set, attribute) in [
            (self.cell.bold(), " font-weight=\"bold\""),
            (self.cell.dim(), " opacity=\"0.6\""),
            (self.cell.italic(), " font-style=\"italic\""),
            (self.cell.underline(), " text-decoration=\"underline\""),
        ] {
            svg.push_str(if is_set { attribute } else { "" });
        }
        let _ = writeln!(svg, ">{}</text>", escape(&self.text));
    }
}

/// Splits a row into runs; a gap of two or more spaces ends a run, so that columns of a table are
/// placed one by one.
fn runs(screen: &Screen, row: u16, columns: u16) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else {
            continue;
        };
        let has_text = cell.has_contents() && cell.contents() != " ";
        let is_visible = has_text || cell.inverse() || cell.bgcolor() != Color::Default;
        if !is_visible {
            continue;
        }
        let text = if cell.has_contents() { cell.contents() } else { " " };
        let width = if cell.is_wide() { 2 } else { 1 };
        match runs.last_mut() {
            Some(run) if has_same_style(run.cell, cell) && column <= run.start + run.width + 1 => {
                let gap = column - run.start - run.width;
                run.text.push_str(if gap == 1 { " " } else { "" });
                run.text.push_str(text);
                run.width += gap + width;
            }
            _ => runs.push(Run { start: column, width, text: text.to_owned(), cell }),
        }
    }
    runs
}

fn has_same_style(one: &Cell, other: &Cell) -> bool {
    let style = |cell: &Cell| {
        let modes = [cell.bold(), cell.dim(), cell.italic(), cell.underline(), cell.inverse()];
        (cell.fgcolor(), cell.bgcolor(), modes)
    };
    style(one) == style(other)
}

/// Returns a colour as CSS. Only the named ones of the 256 indexed colours occur here; others
/// become the default.
fn color(color: Color, default: &str) -> String {
    match color {
        Color::Default => default.to_owned(),
        Color::Idx(index) => PALETTE.get(usize::from(index)).copied().unwrap_or(default).to_owned(),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_and_output_are_escaped_rows() {
        let svg = draw("echo '<&>'", "<&>\nsecond\n", 40);
        assert!(svg.contains("font-weight=\"bold\">$ echo '&lt;&amp;&gt;'</text>"), "{svg}");
        assert!(svg.contains("y=\"47\"") && svg.contains(">&lt;&amp;&gt;</text>"), "{svg}");
        assert!(svg.contains(&format!("height=\"{}\"", 3 * CELL_HEIGHT + 2 * BORDER)), "{svg}");
    }

    #[test]
    fn colors_and_columns_are_runs_of_their_own() {
        let svg = draw("x", "a b   \x1b[31mred\x1b[0m\n", 40);
        assert!(svg.contains("textLength=\"25.2\"") && svg.contains(">a b</text>"), "{svg}");
        assert!(svg.contains(&format!("x=\"{:.1}\"", 16.0 + 6.0 * CELL_WIDTH)), "{svg}");
        assert!(svg.contains(&format!("fill=\"{}\">red</text>", PALETTE[1])), "{svg}");
    }

    #[test]
    fn long_lines_continue_on_the_next_row() {
        let svg = draw("x", "0123456789abc\n", 10);
        assert!(svg.contains(">0123456789</text>") && svg.contains(">abc</text>"), "{svg}");
    }
}

//! The parts of HTML reports: the page, its tables, and figures as inline SVG. `ping::html` and
//! `load::html` combine them.
//!
//! A report is one file that loads nothing. It is both HTML and XML, so that a parser can check it,
//! and it is complete without its script, which adds a readout and a switch between linear and
//! logarithmic scales.

mod axis;
pub(crate) mod distribution;
mod markup;
pub(crate) mod over_time;
pub(crate) mod page;
pub(crate) mod percentiles;
mod scales;
pub(crate) mod svg;
mod wall_clock;

pub(crate) use self::markup::Text;
pub(crate) use self::scales::range;
pub(crate) use self::wall_clock::zoned;

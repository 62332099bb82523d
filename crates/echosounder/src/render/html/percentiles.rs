//! A figure of percentiles: the delay that a share of the requests did not exceed, with the rare
//! ones spread out.

use echosounder_client::Distribution;

use super::axis::Axis;
use super::scales::{Scales, TICKS_UP, delay_labels};
use super::svg::{Drawing, Figure, HEIGHT, Layer, Pen, Scale, WIDTH};
use crate::render::numbers::{Unit, plain};

/// Points of a curve for each nine of a share.
const POINTS_PER_NINE: f64 = 40.0;

/// A distribution with the class of its colour and its name.
pub(crate) type Curve<'a> = (&'static str, &'static str, &'a Distribution);

/// Returns the figure. `noun` names the measured things in the plural, such as "requests". The
/// first curve sets the axis of shares; curves without values are left out.
pub(crate) fn figure(id: String, noun: &str, curves: &[Curve<'_>]) -> Figure {
    let curves: Vec<Curve<'_>> = curves.iter().copied().filter(|(.., times)| times.count() != 0).collect();
    let main = curves.first().map_or_else(Distribution::default, |(.., times)| (*times).clone());
    let ends = curves.iter().flat_map(|(.., times)| [times.min(), times.max()]).flatten();
    let scales = Scales::new(&main, ends.map(|nanos| nanos as f64));
    let shares = Axis::nines(main.count());
    let unit = Unit::for_delay(scales.linear.high() / 10.0);
    let [first, second] = scales.in_order().map(|(scale, axis)| {
        let mut layer = layer(scale, &shares, &axis, &curves);
        if scale == scales.preferred {
            add_readings(&mut layer.drawing, &shares, &curves, unit);
        }
        layer
    });
    let ticks = shares.ticks(TICKS_UP).into_iter();
    let values =
        ticks.map(|share| format!("{} percent within {}", percent(share), unit.brief(at(&main, share))));
    let name = curves.first().map_or("", |(_, name, _)| *name);
    Figure {
        id,
        title: "Percentiles",
        description: format!("{name}: {} {}.", values.collect::<Vec<_>>().join(", "), unit.name),
        legend: curves.iter().map(|(class, name, _)| (*class, (*name).to_owned())).collect(),
        remark: format!("delay that each share of {noun} did not exceed"),
        layers: (first, Some(second)),
        lane: None,
    }
}

fn layer(scale: Scale, shares: &Axis, axis: &Axis, curves: &[Curve<'_>]) -> Layer {
    let mut drawing = Drawing::default();
    for (class, _, times) in curves.iter().rev() {
        let mut pen = Pen::default();
        for share in points(shares) {
            pen.to(WIDTH * shares.position(share), HEIGHT * (1.0 - axis.position(at(times, share))));
        }
        drawing.path(&format!("line strong {class}"), &pen);
    }
    let along = shares.ticks(TICKS_UP).into_iter();
    let along = along.map(|tick| (shares.position(tick), format!("{} %", percent(tick)))).collect();
    Layer { scale, along, up: delay_labels(axis, TICKS_UP), drawing }
}

fn add_readings(drawing: &mut Drawing, shares: &Axis, curves: &[Curve<'_>], unit: Unit) {
    for share in points(shares) {
        let values = curves.iter().map(|(_, name, times)| format!("{name} {}", unit.brief(at(times, share))));
        let values = values.collect::<Vec<_>>().join(", ");
        let text = format!("{} %: {values} {}", percent(share), unit.name);
        drawing.reading(WIDTH * shares.position(share), &text);
    }
}

/// Returns the value that a share of the values does not exceed.
fn at(times: &Distribution, share: f64) -> f64 {
    times.rank(share * 100.0).unwrap_or(0) as f64
}

/// Returns the shares at which curves are drawn.
fn points(shares: &Axis) -> Vec<f64> {
    let nines = -(1.0 - shares.high()).log10();
    let number = (nines * POINTS_PER_NINE).ceil().clamp(20.0, 1000.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 20 and 1000")]
    (0..=number as u32).map(|step| shares.value(f64::from(step) / number)).collect()
}

/// Returns a share as a percentage, with as many digits as distinguish it from 100.
fn percent(share: f64) -> String {
    let decimals = (-(1.0 - share).log10() - 1.0).ceil().clamp(0.0, 12.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 12")]
    let text = format!("{:.*}", decimals as usize, share * 100.0);
    plain(text.parse().unwrap_or(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_distinguished_from_100() {
        assert_eq!([0.5, 0.9, 0.99, 0.999, 0.999_999_9].map(percent), ["50", "90", "99", "99.9", "99.99999"]);
        assert_eq!(percent(0.0), "0");
    }

    #[test]
    fn number_of_points_is_bounded() {
        for count in [1, 10, 1000, 1_000_000_000, u64::MAX] {
            assert!((20..=1001).contains(&points(&Axis::nines(count)).len()));
        }
    }
}

//! Figures as they're read: three digits, and the unit that fits.

use crate::plot::words::number;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// In ns.
    Time,
    Bytes,
    Percent,
    /// A second.
    Rate,
    /// Exactly.
    Count,
}

type Steps = [(f64, &'static str)];

const TIMES: &Steps =
    &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s"), (1e12, "ks"), (1e15, "Ms"), (1e18, "Gs")];
const BYTES: &Steps =
    &[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"), (1e15, "PB"), (1e18, "EB")];
const COUNTS: &Steps = &[(1.0, ""), (1e6, "M"), (1e9, "G"), (1e12, "T"), (1e15, "P"), (1e18, "E")];
const PERCENT: &Steps = &[(1.0, "%")];

impl Unit {
    pub fn show(self, figure: f64) -> String {
        let steps = match self {
            Unit::Time => TIMES,
            Unit::Bytes => BYTES,
            Unit::Percent => PERCENT,
            Unit::Rate | Unit::Count => COUNTS,
        };
        // Rounded before the unit is chosen: 999.9 µs is 1 ms.
        let digits = if self == Unit::Count && figure >= 100.0 { 6 } else { 3 };
        let figure = rounded(figure, digits);
        let fits = |step: &&(f64, &str)| step.0 <= figure;
        let (size, unit) = steps.iter().rfind(fits).unwrap_or(&steps[0]);
        let shown = number(rounded(figure / size, if *size > 1.0 { 3 } else { digits }));
        if unit.is_empty() { shown } else { format!("{shown} {unit}") }
    }
}

/// To so many digits. Less than a thousandth is nothing.
fn rounded(figure: f64, digits: i32) -> f64 {
    if figure < 1e-3 {
        return 0.0;
    }
    let last = figure.log10().floor() as i32 - digits + 1;
    // Only whole powers of ten can be multiplied and divided with without leaving a trace.
    if last >= 0 {
        let step = 10_f64.powi(last);
        (figure / step).round() * step
    } else {
        let step = 10_f64.powi(-last);
        (figure * step).round() / step
    }
}

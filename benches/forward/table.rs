//! The table, in Markdown.

use std::fmt;

use super::{
    contender::{Contender, Kind},
    goal::{Reached, Row},
    measure::Measure,
    number::median,
    outcome::{Failure, Results},
};

pub(super) fn print_head(contenders: &[Contender], rounds: u32) {
    let names: Vec<_> = contenders.iter().map(|contender| contender.name.as_str()).collect();
    println!("| median of {rounds} (least to most) | unit | {} | to reach | reached |", names.join(" | "));
    println!("|---|---|{}---|---|", "---|".repeat(names.len()));
}

pub(super) fn print_rows(measure: &Measure, contenders: &[Contender], results: &Results) {
    for (index, Row(what, unit, goal)) in measure.rows.iter().enumerate() {
        let columns: Vec<_> =
            (0..contenders.len()).map(|contender| Column::of(results, contender, index)).collect();
        let middle = |kind| {
            let at = contenders.iter().position(|contender| contender.kind == kind)?;
            columns[at].middle()
        };
        let reached = Reached {
            ours: middle(Kind::Ours),
            kubectl: middle(Kind::Kubectl),
            tls_relay: middle(Kind::TlsRelay),
        };
        let met = match goal.is_met(reached) {
            None => "",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        let cells: Vec<_> = columns.iter().map(ToString::to_string).collect();
        println!("| {what} | {unit} | {} | {goal} | {met} |", cells.join(" | "));
    }
}

/// What one contender reached in one row.
struct Column<'a> {
    /// In order.
    numbers: Vec<f64>,
    failures: Vec<&'a Failure>,
}

impl<'a> Column<'a> {
    fn of(results: &'a Results, contender: usize, row: usize) -> Self {
        let (mut numbers, mut failures) = (Vec::new(), Vec::new());
        for result in results.get(&contender).into_iter().flatten() {
            match result {
                Ok(row_numbers) => numbers.push(row_numbers[row]),
                Err(failure) => failures.push(failure),
            }
        }
        numbers.sort_by(f64::total_cmp);
        Self { numbers, failures }
    }

    fn middle(&self) -> Option<f64> {
        (!self.numbers.is_empty()).then(|| median(&mut self.numbers.clone()))
    }
}

impl fmt::Display for Column<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([least, .., most], Some(middle)) = (self.numbers.as_slice(), self.middle()) {
            write!(f, "{} ({} to {})", Short(middle), Short(*least), Short(*most))?;
        } else {
            match (self.middle(), self.failures.first()) {
                (Some(only), _) => write!(f, "{}", Short(only))?,
                (None, Some(failure)) => return write!(f, "{failure}"),
                (None, None) => return f.write_str("-"),
            }
        }
        match self.failures.first() {
            Some(failure) => write!(f, "; in {} more rounds {failure}", self.failures.len()),
            None => Ok(()),
        }
    }
}

/// A number with as many digits as mean something.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number if number.is_nan() => f.write_str("-"),
            number if number >= 99.95 => write!(f, "{number:.0}"),
            number if number >= 9.995 => write!(f, "{number:.1}"),
            number => write!(f, "{number:.2}"),
        }
    }
}

//! The table, in Markdown, and what is to be reached.

use std::fmt;

use super::{
    Results,
    contender::Contender,
    measure::{Failure, Measure},
};

/// A line of the table: what it is, its unit, and what `kubectl-fwd` is to reach.
pub(super) struct Row(pub(super) &'static str, pub(super) &'static str, pub(super) Goal);

/// What is to be reached (DESIGN §6).
#[derive(Clone, Copy)]
pub(super) enum Goal {
    None,
    AtMost(f64),
    AtLeast(f64),
    AtMostOfKubectl(f64),
    AtLeastOfKubectl(f64),
}

impl Goal {
    /// Whether it is reached; `None` where that is not known, or nothing is wanted. Any number is better than none of
    /// kubectl's.
    fn is_met(self, ours: Option<f64>, kubectls: Option<f64>) -> Option<bool> {
        let at_most = |limit: f64| ours.map_or(Some(false), |ours| (!ours.is_nan()).then_some(ours <= limit));
        let at_least =
            |limit: f64| ours.map_or(Some(false), |ours| (!ours.is_nan()).then_some(ours >= limit));
        match self {
            Self::None => None,
            Self::AtMost(limit) => at_most(limit),
            Self::AtLeast(limit) => at_least(limit),
            Self::AtMostOfKubectl(times) => at_most(kubectls.map_or(f64::INFINITY, |theirs| theirs * times)),
            Self::AtLeastOfKubectl(times) => at_least(kubectls.map_or(0.0, |theirs| theirs * times)),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
            Self::AtMostOfKubectl(times) => write!(f, "at most {times}x kubectl"),
            Self::AtLeastOfKubectl(times) => write!(f, "at least {times}x kubectl"),
        }
    }
}

pub(super) fn print_head(contenders: &[Contender], rounds: u32) {
    let names: Vec<_> = contenders.iter().map(|contender| contender.name.as_str()).collect();
    println!("| median of {rounds} (least to most) | unit | {} | to reach | reached |", names.join(" | "));
    println!("|---|---|{}---|---|", "---|".repeat(names.len()));
}

pub(super) fn print_rows(measure: &Measure, contenders: &[Contender], results: &Results) {
    for (index, Row(what, unit, goal)) in measure.rows.iter().enumerate() {
        let columns: Vec<_> =
            (0..contenders.len()).map(|contender| Column::of(results, contender, index)).collect();
        let middle = |wanted: fn(&Contender) -> bool| {
            let at = contenders.iter().position(wanted)?;
            columns[at].middle()
        };
        let met = match goal
            .is_met(middle(|contender| contender.is_ours), middle(|contender| contender.is_kubectl))
        {
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

/// The middle of `numbers`, which it sorts; `NAN` of none.
pub(super) fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

//! A straight line through some points.

/// Of the points (x, y) by least squares: where the line begins at 0, and how much it climbs for each x.
pub(super) fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = number(points.len());
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = if variance == 0.0 { 0.0 } else { covariance / variance };
    (y - slope * x, slope)
}

/// A count among measurements.
pub(super) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

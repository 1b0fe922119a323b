//! Plain columns of text.

/// Blanks between columns, as kubectl has them.
pub const GAP: usize = 3;

/// The rows, each column as wide as its widest cell. A row has as many cells as the first one.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let measure =
        |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..count).map(|at| measure(at).unwrap_or_default()).collect();
    rows.iter().fold(String::new(), |mut text, row| {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + GAP));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text + "\n"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_wide_as_what_is_in_them() {
        let rows = [["A", "BB", "C"], ["aä", "", "c"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(columns(&rows), "A    BB   C\naä        c\n");
        assert_eq!(columns(&[]), "");
    }
}

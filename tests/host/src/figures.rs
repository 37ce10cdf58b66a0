//! Figures as tables show them.

use comfy_table::{CellAlignment, Table, presets};

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The value below which a share `q` of `ascending` lies; 0 of none.
pub fn quantile(ascending: &[f64], q: f64) -> f64 {
    let last = ascending.len().saturating_sub(1);
    let index = (last as f64 * q).round() as usize;
    ascending.get(index).copied().unwrap_or_default()
}

/// Three digits that matter.
pub fn figure(value: f64) -> String {
    match value {
        v if v > 0.0 && v < 0.1 => format!("{v:.0$}", (2.0 - v.log10().floor()) as usize),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// A table in Markdown: names in the first column, figures in the others.
pub fn table<R: AsRef<str>>(head: &[R], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_header(head.iter().map(AsRef::as_ref))
        .add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_that_matter() {
        let shown = [0.0, 0.000_123_4, 0.0456, 0.5, 1.234, 12.34, 123.4, 12_345.6].map(figure);
        assert_eq!(
            shown,
            [
                "0.00", "0.000123", "0.0456", "0.50", "1.23", "12.3", "123", "12346"
            ]
        );
    }

    #[test]
    fn the_median_of_an_even_count_is_one_of_them() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 4.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}

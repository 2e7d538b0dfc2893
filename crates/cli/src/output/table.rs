//! Columns and blocks of plain text, as wide as their widest cell.

/// Rows under a heading; columns are parted by two blanks and the last one is not padded.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<S: Into<String>>(heading: impl IntoIterator<Item = S>) -> Table {
        let mut table = Table::default();
        table.row(heading);
        table
    }

    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The lines, without a line break at the end. Empty cells show as `<none>`.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                widths[column] = widths[column].max(shown(cell).chars().count());
            }
        }
        let lines = self.rows.iter().map(|row| {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let cell = shown(cell);
                line.push_str(cell);
                if column + 1 < row.len() {
                    let pad = widths[column] - cell.chars().count() + 2;
                    line.extend(std::iter::repeat_n(' ', pad));
                }
            }
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn shown(cell: &str) -> &str {
    if cell.is_empty() { "<none>" } else { cell }
}

/// `Key = Value` lines, aligned on the sign; empty values show as `<none>`.
pub fn block<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    let width = pairs.iter().map(|(key, _)| key.as_ref().chars().count()).max().unwrap_or(0);
    let lines = pairs.iter().map(|(key, value)| {
        let key = key.as_ref();
        let pad = width - key.chars().count();
        format!("{key}{:pad$} = {}", "", shown(value.as_ref())).trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["ID", "Type", "Status"]);
        table.row(["redis", "service", "running"]);
        table.row(["a-long-name", "", "dead (stopped)"]);
        insta::assert_snapshot!(table.render(), @r"
        ID           Type     Status
        redis        service  running
        a-long-name  <none>   dead (stopped)
        ");
    }

    #[test]
    fn blocks_are_aligned_on_the_sign() {
        insta::assert_snapshot!(block(&[("ID", "web"), ("Submit Date", "today"), ("Periodic", "")]), @r"
        ID          = web
        Submit Date = today
        Periodic    = <none>
        ");
    }
}

//! Tables with kubectl's look: no rules, three blanks between columns, dashes under each header word.

use std::io::{self, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table as Grid, Width, presets};

use super::cell::Cell;
use super::style::Palette;

/// Blanks between two columns.
const GAP: usize = 3;
/// No column is narrower, as with kubectl's writer (6 with its gap).
const NARROWEST: usize = 3;
/// No column is made narrower by wrapping; below, the table is wider than the terminal, which still reads better than
/// one letter a line.
const NARROWEST_WRAPPED: usize = 10;
/// A cell is cut after so many columns when the table has to be fitted to a terminal: an environment variable of
/// 128 KiB would fill it for minutes. Also keeps clear of comfy-table's 16-bit widths.
const LONGEST_FITTED: usize = 4096;

/// A table of more rows, or of more bytes in its cells, is neither kept nor fitted: lines are as long as they get.
const ROWS_KEPT: usize = 10_000;
const BYTES_KEPT: usize = 4 << 20;

/// Hands rows to whoever wants them, in order, the same each time.
pub type Rows<'r, const N: usize> = &'r dyn Fn(&mut dyn FnMut([Cell; N]) -> io::Result<()>) -> io::Result<()>;

/// What a column is called and how it behaves.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    wraps: bool,
    always: bool,
}

impl Column {
    /// A column whose cells are never broken: ids, addresses, sizes, times.
    #[must_use]
    pub const fn whole(title: &'static str) -> Self {
        Self { title, wraps: false, always: false }
    }

    /// A column whose cells may be wrapped when the terminal is too narrow: paths, command lines.
    #[must_use]
    pub const fn wrapped(title: &'static str) -> Self {
        Self { title, wraps: true, always: false }
    }

    /// Keeps the column even if no row fills it.
    #[must_use]
    pub const fn always(mut self) -> Self {
        self.always = true;
        self
    }
}

/// A table of `N` columns, of which those that no row fills are left out.
#[derive(Clone, Debug)]
pub struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    /// An empty table.
    #[must_use]
    pub fn new(columns: [Column; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row at the end.
    pub fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table: as wide as it is, or fitted into `width` columns of a terminal if it is wider.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut dyn Write, width: Option<usize>, palette: &Palette) -> io::Result<()> {
        let shape = self.shape();
        let shown = shape.shown(&self.columns);
        let widths = shape.widths(&self.columns, &shown);
        let natural = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        match width {
            Some(width) if natural > width => self.write_fitted(out, &shown, &widths, width, palette),
            _ => self.write_natural(out, &shown, &widths, palette),
        }
    }

    fn shape(&self) -> Shape<N> {
        let mut shape = Shape::default();
        self.rows.iter().for_each(|row| shape.add(row));
        shape
    }

    /// Lays the table out without asking how wide it gets.
    fn write_natural(
        &self,
        out: &mut dyn Write,
        shown: &[usize],
        widths: &[usize],
        palette: &Palette,
    ) -> io::Result<()> {
        let mut lines = Natural { shown, widths, line: String::new() };
        lines.heading(&self.columns, out, palette)?;
        self.rows.iter().try_for_each(|row| lines.row(row, out, palette))
    }

    /// Lays the table out in `width` columns: what may be wrapped is, what may not makes the line longer.
    fn write_fitted(
        &self,
        out: &mut dyn Write,
        shown: &[usize],
        widths: &[usize],
        width: usize,
        palette: &Palette,
    ) -> io::Result<()> {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Dynamic);
        grid.set_width(narrow(width));
        grid.add_row(shown.iter().map(|&column| self.columns[column].title).collect::<Vec<_>>());
        grid.add_row(
            shown.iter().map(|&column| "-".repeat(self.columns[column].title.len())).collect::<Vec<_>>(),
        );
        for row in &self.rows {
            grid.add_row(shown.iter().map(|&column| cut(row[column].shown())).collect::<Vec<_>>());
        }
        for (position, (&column, &natural)) in shown.iter().zip(widths).enumerate() {
            let Some(grid_column) = grid.column_mut(position) else { continue };
            let gap = if position + 1 == shown.len() { 0 } else { GAP };
            let Column { title, wraps, .. } = self.columns[column];
            grid_column.set_padding((0, narrow(gap)));
            grid_column.set_constraint(if wraps {
                let least = natural.min(NARROWEST_WRAPPED).max(title.len());
                ColumnConstraint::LowerBoundary(Width::Fixed(narrow(least + gap)))
            } else {
                ColumnConstraint::ContentWidth
            });
        }
        for (index, line) in grid.lines().enumerate() {
            write_line(out, &line, index == 0, palette)?;
        }
        Ok(())
    }
}

/// What rows ask of the columns.
#[derive(Clone, Copy, Debug)]
struct Shape<const N: usize> {
    rows: usize,
    filled: [bool; N],
    widths: [usize; N],
}

impl<const N: usize> Default for Shape<N> {
    fn default() -> Self {
        Self { rows: 0, filled: [false; N], widths: [0; N] }
    }
}

impl<const N: usize> Shape<N> {
    fn add(&mut self, row: &[Cell; N]) {
        self.rows += 1;
        for (column, cell) in row.iter().enumerate() {
            self.filled[column] |= cell.is_filled();
            self.widths[column] = self.widths[column].max(cell.width());
        }
    }

    /// The numbers of the columns that are shown.
    fn shown(&self, columns: &[Column; N]) -> Vec<usize> {
        (0..N).filter(|&column| columns[column].always || self.rows == 0 || self.filled[column]).collect()
    }

    /// How wide they are.
    fn widths(&self, columns: &[Column; N], shown: &[usize]) -> Vec<usize> {
        shown.iter().map(|&it| self.widths[it].max(columns[it].title.len()).max(NARROWEST)).collect()
    }
}

/// Lines as long as they get.
struct Natural<'t> {
    shown: &'t [usize],
    widths: &'t [usize],
    line: String,
}

impl Natural<'_> {
    fn heading<const N: usize>(
        &mut self,
        columns: &[Column; N],
        out: &mut dyn Write,
        palette: &Palette,
    ) -> io::Result<()> {
        let titles = || self.shown.iter().map(|&column| columns[column].title);
        let dashes: Vec<String> = titles().map(|title| "-".repeat(title.len())).collect();
        let titles: Vec<&str> = titles().collect();
        self.lay_out(titles.iter().map(|title| (*title, title.len())), true, out, palette)?;
        self.lay_out(dashes.iter().map(|dashes| (dashes.as_str(), dashes.len())), false, out, palette)
    }

    fn row<const N: usize>(
        &mut self,
        row: &[Cell; N],
        out: &mut dyn Write,
        palette: &Palette,
    ) -> io::Result<()> {
        let shown = self.shown;
        let cells = shown.iter().map(|&column| (row[column].shown(), row[column].width()));
        self.lay_out(cells, false, out, palette)
    }

    fn lay_out<'c>(
        &mut self,
        cells: impl Iterator<Item = (&'c str, usize)>,
        heading: bool,
        out: &mut dyn Write,
        palette: &Palette,
    ) -> io::Result<()> {
        self.line.clear();
        for ((cell, cell_width), &column_width) in cells.zip(self.widths) {
            self.line.push_str(cell);
            self.line.extend(std::iter::repeat_n(' ', column_width.saturating_sub(cell_width) + GAP));
        }
        write_line(out, &self.line, heading, palette)
    }
}

/// Writes a table whose rows are kept as long as they are few; else they are asked for twice, first to see how wide the columns get.
///
/// # Errors
/// Those of `out`.
pub fn write_long<const N: usize>(
    columns: [Column; N],
    rows: Rows<'_, N>,
    out: &mut dyn Write,
    width: Option<usize>,
    palette: &Palette,
) -> io::Result<()> {
    let mut few = Table::new(columns);
    let mut shape = Shape::default();
    let mut bytes = 0;
    let mut are_few = true;
    rows(&mut |row| {
        shape.add(&row);
        bytes += row.iter().map(|cell| cell.shown().len()).sum::<usize>();
        are_few = shape.rows <= ROWS_KEPT && bytes <= BYTES_KEPT;
        if are_few {
            few.row(row);
        } else {
            few.rows = Vec::new();
        }
        Ok(())
    })?;
    if shape.rows == 0 {
        return Ok(());
    }
    if are_few {
        return few.write_to(out, width, palette);
    }
    let shown = shape.shown(&columns);
    let widths = shape.widths(&columns, &shown);
    let mut lines = Natural { shown: &shown, widths: &widths, line: String::new() };
    lines.heading(&columns, out, palette)?;
    rows(&mut |row| lines.row(&row, out, palette))
}

/// comfy-table counts columns in 16 bits.
fn narrow(columns: usize) -> u16 {
    u16::try_from(columns).unwrap_or(u16::MAX)
}

fn write_line(out: &mut dyn Write, line: &str, heading: bool, palette: &Palette) -> io::Result<()> {
    let line = line.trim_end_matches(' ');
    if heading {
        writeln!(out, "{}{line}{:#}", palette.heading, palette.heading)
    } else {
        writeln!(out, "{line}")
    }
}

/// Shortens a text that would flood a terminal; a mark shows where.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_FITTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;
    use crate::present::text::Text;

    fn shown<const N: usize>(table: &Table<N>, width: Option<usize>) -> String {
        let mut out = Vec::new();
        table.write_to(&mut out, width, &Palette::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn looks_as_checkpointctl_shows_it() {
        let mut table = Table::new([
            Column::wrapped("CONTAINER"),
            Column::wrapped("IMAGE"),
            Column::whole("ID"),
            Column::whole("IP"),
            Column::whole("CHKPT SIZE"),
            Column::whole("ROOT FS DIFF SIZE"),
        ]);
        table.row([
            Cell::evidence("counter"),
            Cell::evidence("localhost/counter:blog"),
            Cell::evidence("e6931b4c33d6"),
            Cell::empty(),
            Cell::size(9618092),
            Cell::size(3072),
        ]);
        let expected = "\
CONTAINER   IMAGE                    ID             CHKPT SIZE   ROOT FS DIFF SIZE
---------   -----                    --             ----------   -----------------
counter     localhost/counter:blog   e6931b4c33d6   9.2 MiB      3.0 KiB
";
        assert_eq!(shown(&table, None), expected);
        assert_eq!(shown(&table, Some(200)), expected, "a table that fits is not touched");
    }

    #[test]
    fn columns_appear_when_one_row_fills_them() {
        let mut table =
            Table::new([Column::whole("PID"), Column::whole("IP"), Column::whole("MAC").always()]);
        table.row([Cell::own(1), Cell::empty(), Cell::empty()]);
        assert_eq!(shown(&table, None), "PID   MAC\n---   ---\n1     -\n");
        table.row([Cell::own(2), Some(Text::evidence("10.88.0.2")).into(), None::<Text>.into()]);
        assert_eq!(
            shown(&table, None),
            "PID   IP          MAC\n---   --          ---\n1     -           -\n2     10.88.0.2   -\n"
        );
    }

    #[test]
    fn an_empty_table_still_has_its_header() {
        assert_eq!(
            shown(&Table::new([Column::whole("PID"), Column::whole("IP")]), None),
            "PID   IP\n---   --\n"
        );
    }

    #[test]
    fn evidence_can_neither_move_the_cursor_nor_break_a_row() {
        let mut table = Table::new([Column::wrapped("NAME"), Column::wrapped("PATH")]);
        table.row([Cell::evidence(b"a\x1b[2J\nb"), Cell::evidence(b"x ")]);
        for width in [None, Some(10)] {
            let text = shown(&table, width);
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        }
        assert_eq!(shown(&table, None).lines().nth(2), Some("a\\x1b[2J\\nb   x\\x20"));
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new([Column::wrapped("NAME"), Column::whole("PID")]);
        table.row([Cell::evidence("日本語"), Cell::own(1)]);
        table.row([Cell::evidence("abcdef"), Cell::own(2)]);
        let text = shown(&table, None);
        let columns: Vec<usize> =
            text.lines().skip(2).map(|line| line[..line.rfind(' ').unwrap() + 1].width()).collect();
        assert_eq!(columns, [9, 9]);
    }

    #[test]
    fn many_rows_make_the_table_that_they_make_when_they_are_kept() {
        let columns = [Column::whole("PID"), Column::whole("IP"), Column::wrapped("NAME")];
        for count in [0, 1, ROWS_KEPT, ROWS_KEPT + 1, ROWS_KEPT + 7] {
            let cells = |number: usize| {
                let name = if number % 5000 == 4999 { "日本語 and more" } else { "short" };
                [Cell::own(number), Cell::empty(), Cell::evidence(name)]
            };
            let mut table = Table::new(columns);
            (0..count).for_each(|number| table.row(cells(number)));
            let mut out = Vec::new();
            let rows: Rows<'_, 3> = &|row| (0..count).try_for_each(|number| row(cells(number)));
            write_long(columns, rows, &mut out, None, &Palette::default()).unwrap();
            let expected = if count == 0 { String::new() } else { shown(&table, None) };
            assert!(String::from_utf8(out).unwrap() == expected, "{count} rows");
        }
    }

    fn long_row() -> Table<3> {
        let mut table =
            Table::new([Column::whole("ID"), Column::wrapped("COMMAND"), Column::wrapped("PATH")]);
        table.row([
            Cell::evidence("0123456789abcdef0123"),
            Cell::evidence("server --listen 0.0.0.0 --verbose --name somewhat-long"),
            Cell::evidence("/var/lib/containers/storage/overlay/layer/merged/file"),
        ]);
        table
    }

    #[test]
    fn narrow_terminals_wrap_but_never_break_an_id() {
        let text = shown(&long_row(), Some(60));
        assert!(text.lines().all(|line| line.width() <= 60), "{text}");
        assert!(text.lines().any(|line| line.starts_with("0123456789abcdef0123 ")), "{text}");
        let joined: String = text.split_whitespace().collect();
        assert!(joined.contains("0123456789abcdef0123"));
        assert!(!text.contains('…'), "nothing is cut: {text}");
    }

    #[test]
    fn a_pipe_never_wraps() {
        let mut table = Table::new([Column::wrapped("VALUE"), Column::whole("PID")]);
        let long = "x y ".repeat(100_000);
        table.row([Cell::evidence(&long), Cell::own(7)]);
        let text = shown(&table, None);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains(long.trim_end()));
    }

    #[test]
    fn an_absurdly_long_cell_is_cut_on_a_terminal_only() {
        for column in [Column::wrapped("VALUE"), Column::whole("VALUE")] {
            let mut table = Table::new([column, Column::whole("PID")]);
            table.row([Cell::evidence("日".repeat(200_000)), Cell::own(7)]);
            assert!(shown(&table, Some(80)).contains('…'));
            assert!(!shown(&table, None).contains('…'));
        }
    }

    #[test]
    fn no_width_is_too_narrow() {
        for width in 0..40 {
            let text = shown(&long_row(), Some(width));
            assert!(text.lines().any(|line| line.starts_with("0123456789abcdef0123")), "{width}: {text}");
            assert!(text.starts_with("ID                     COMMAND"), "{width}: {text}");
            assert!(text.lines().count() < 12, "{width}: {text}");
        }
    }

    #[test]
    fn colour_touches_the_header_alone() {
        let mut table = Table::new([Column::whole("PID")]);
        table.row([Cell::own(1)]);
        let palette = Palette { heading: anstyle::Style::new().bold(), ..Palette::default() };
        let mut out = Vec::new();
        table.write_to(&mut out, None, &palette).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\x1b[1mPID\x1b[0m\n---\n1\n");
    }
}

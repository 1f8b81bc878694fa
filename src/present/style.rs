//! The colours of the house, and when they are used.

use anstream::AutoStream;
use anstream::stream::RawStream;
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

/// One style for each kind of thing that may be coloured; all empty where colour isn't wanted.
///
/// A style is used as `write!(out, "{}text{:#}", palette.heading, palette.heading)`: an empty one writes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Palette {
    /// The header of a table, the root of a tree.
    pub heading: Style,
    /// The word `error`.
    pub error: Style,
    /// The word `warning`.
    pub warning: Style,
    /// The word `hint`.
    pub hint: Style,
}

impl Palette {
    /// The palette for a stream: the user's choice, or what the stream and the environment say.
    ///
    /// `auto` is colour on a terminal only; `NO_COLOR` forbids it, `CLICOLOR_FORCE` asks for it on anything.
    #[must_use]
    pub fn for_stream(choice: ColorChoice, stream: &impl RawStream) -> Self {
        let wanted = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => AutoStream::choice(stream) != anstream::ColorChoice::Never,
        };
        if wanted { Self::coloured() } else { Self::default() }
    }

    fn coloured() -> Self {
        let bold = |color: AnsiColor| color.on_default().bold();
        Self {
            heading: Style::new().bold(),
            error: bold(AnsiColor::Red),
            warning: bold(AnsiColor::Yellow),
            hint: bold(AnsiColor::Cyan),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(palette: Palette) -> String {
        format!("{}x{:#}", palette.error, palette.error)
    }

    #[test]
    fn a_choice_overrules_the_stream() {
        let not_a_terminal = Vec::<u8>::new();
        assert_eq!(painted(Palette::for_stream(ColorChoice::Never, &not_a_terminal)), "x");
        assert!(painted(Palette::for_stream(ColorChoice::Always, &not_a_terminal)).starts_with('\x1b'));
    }

    #[test]
    fn no_colour_writes_nothing() {
        assert_eq!(painted(Palette::default()), "x");
    }
}

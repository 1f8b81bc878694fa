//! When a checkpoint was made, where no field says so.

use super::sources::Sources;
use crate::container::{CheckpointedEstimate, ContainerInfo, Timestamp};

/// Modification times that whoever opened the evidence saw: seconds since 1970-01-01T00:00:00Z. They survive
/// tar, not copying.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileTimes {
    /// Of `config.dump`.
    pub config_dump: Option<u64>,
    /// The latest among the images.
    pub newest_image: Option<u64>,
}

/// Logs whose lines begin with a time; only that of the engine in question exists.
const LOGS: [&str; 3] = ["ctr.log", "io.kubernetes.cri-o.LogPath", "container.log"];

/// Takes the best of what there is: the images' times, that of config.dump (written right after), the last
/// line the container logged.
///
/// A time before the container was created can't be right (a copy without times, a normalised archive): it is
/// passed over, with a note.
pub(super) fn estimate(
    info: &ContainerInfo,
    sources: &Sources<'_>,
    times: &FileTimes,
) -> Option<CheckpointedEstimate> {
    let created = info.created.known().map(|time| time.instant().as_second());
    let candidates = [
        (
            times.newest_image.and_then(Timestamp::from_seconds),
            "modification time of the newest image",
            false,
        ),
        (times.config_dump.and_then(Timestamp::from_seconds), "modification time of config.dump", false),
        (last_log_line(sources), "last line of the container's log", true),
    ];
    for (time, source, lower_bound) in candidates {
        let Some(time) = time else { continue };
        if created.is_some_and(|created| time.instant().as_second() < created) {
            sources.findings.borrow_mut().note(
                "time before the container was created",
                source,
                format!("{time}: not taken for the time of the checkpoint; file times don't survive all ways of copying"),
            );
            continue;
        }
        return Some(CheckpointedEstimate { time, source, lower_bound });
    }
    None
}

/// The time of the last line of a log in the CRI's form: `RFC3339NANO STREAM TAG TEXT`.
fn last_log_line(sources: &Sources<'_>) -> Option<Timestamp> {
    let log = LOGS.iter().find_map(|name| sources.bundle.file(name))?;
    let mut lines = log.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let time = lines.next()?.split(|byte| *byte == b' ').next()?;
    Timestamp::from_rfc3339(std::str::from_utf8(time).ok()?).ok()?
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::test_files::Files;
    use super::*;
    use crate::container::Engine;
    use crate::gap::{Field, Findings};

    fn read(
        created: Option<&str>,
        bundle: &Files,
        times: FileTimes,
    ) -> (Option<CheckpointedEstimate>, usize) {
        let findings = RefCell::new(Findings::default());
        let none = Files::default();
        let sources = Sources::load(bundle, &none, None, &findings);
        let mut info = ContainerInfo::blank(Engine::Podman, "");
        info.created = created
            .and_then(|text| Timestamp::from_rfc3339(text).unwrap())
            .map_or(Field::NotCaptured, Field::Known);
        let answer = estimate(&info, &sources, &times);
        drop(sources);
        (answer, findings.into_inner().notes.len())
    }

    #[test]
    fn says_what_it_was_taken_from() {
        let log = Files::default().with(
            "ctr.log",
            "2026-11-22T04:00:00.5+00:00 stdout F a\n2026-11-22T04:00:01.5+00:00 stdout F b\n",
        );
        let times = FileTimes { config_dump: Some(1_795_320_276), newest_image: Some(1_795_320_275) };
        let (best, _) = read(None, &log, times);
        let best = best.unwrap();
        assert_eq!(
            (best.time.text(), best.source),
            ("2026-11-22T04:04:35Z", "modification time of the newest image")
        );
        let (second, _) = read(None, &log, FileTimes { newest_image: None, ..times });
        assert_eq!(second.unwrap().source, "modification time of config.dump");
        let (last, _) = read(None, &log, FileTimes::default());
        let last = last.unwrap();
        assert_eq!((last.time.text(), last.lower_bound), ("2026-11-22T04:00:01.5+00:00", true));
        assert_eq!(read(None, &Files::default(), FileTimes::default()), (None, 0));
    }

    #[test]
    fn a_time_before_the_creation_is_not_taken() {
        let times = FileTimes { config_dump: Some(0), newest_image: Some(86_400) };
        assert_eq!(read(Some("2026-11-22T04:04:32Z"), &Files::default(), times), (None, 1));
    }

    #[test]
    fn a_log_without_times_tells_nothing() {
        for text in ["", "\n\n", "no time here\n", "2026-11-22T04:00:01.5+00:00", "\u{0}\n"] {
            let (answer, _) = read(None, &Files::default().with("ctr.log", text), FileTimes::default());
            assert_eq!(answer.is_some(), text.starts_with("2026"), "{text:?}");
        }
    }
}

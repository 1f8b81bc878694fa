//! The check that prost leaves out: is every required field there?

use crate::error::{Error, Place, Result, WireFault};
use crate::schema::tables::{Field, Label, Message, Type};
use crate::walk::unpack;
use crate::wire::{Fault, Fields, Value};

/// How deep messages may nest: prost's own limit.
pub const MOST_LEVELS: usize = 100;

/// One message still to be checked, possibly in several pieces: protobuf merges the occurrences of a singular
/// message, so all of them together must hold the required fields.
struct Job<'a> {
    message: &'static Message,
    first: Piece<'a>,
    rest: Vec<Piece<'a>>,
    depth: usize,
}

#[derive(Clone, Copy)]
struct Piece<'a> {
    bytes: &'a [u8],
    /// Offset from the start of the entry's message.
    offset: usize,
}

/// Checks the required fields of a message and of all messages inside it, and that each field of the schema can be
/// read as its type: the right wire type, and whole numbers in packed lists.
///
/// `place` is where the message starts; it becomes part of the error.
///
/// # Errors
///
/// [`Error::MissingField`] names the field and the message that lacks it. [`Error::Wire`] says that the bytes are
/// not protobuf, or nest more than [`MOST_LEVELS`] messages.
pub fn check(message: &'static Message, bytes: &[u8], place: Place) -> Result<()> {
    let mut jobs: Vec<Job<'_>> = Vec::new();
    let mut next = Some(Job { message, first: Piece { bytes, offset: 0 }, rest: Vec::new(), depth: 1 });
    while let Some(job) = next {
        let message = job.message;
        let wire = |fault: Fault, offset: usize| Error::Wire {
            place: Place { offset: place.offset + (offset + fault.at) as u64, ..place },
            message: message.name,
            fault: fault.what,
        };
        let mut seen = 0u64;
        // For each singular message field: its job, should the field occur again.
        let mut jobs_of = [usize::MAX; u64::BITS as usize];
        for piece in std::iter::once(job.first).chain(job.rest) {
            for field in Fields::new(piece.bytes) {
                let field = field.map_err(|fault| wire(fault, piece.offset))?;
                let Some(index) = message.position(field.number) else { continue };
                let known = &message.fields[index];
                if !fits(known, &field.value) {
                    return Err(wire(
                        Fault { what: WireFault::WrongWireType, at: field.start },
                        piece.offset,
                    ));
                }
                seen |= 1 << index;
                let Value::Bytes(bytes) = field.value else { continue };
                let Type::Message(inner) = known.ty else {
                    if !matches!(known.ty, Type::Bytes) {
                        unpack(known.ty, bytes, |_| Ok(())).map_err(|fault: Fault| {
                            wire(Fault { what: fault.what, at: field.value_start }, piece.offset)
                        })?;
                    }
                    continue;
                };
                if job.depth >= MOST_LEVELS {
                    return Err(wire(Fault { what: WireFault::TooDeep, at: field.start }, piece.offset));
                }
                let child = Piece { bytes, offset: piece.offset + field.value_start };
                match jobs.get_mut(jobs_of[index]) {
                    Some(job) => job.rest.push(child),
                    None => {
                        if known.label != Label::Repeated {
                            jobs_of[index] = jobs.len();
                        }
                        jobs.push(Job {
                            message: inner,
                            first: child,
                            rest: Vec::new(),
                            depth: job.depth + 1,
                        });
                    }
                }
            }
        }
        let missing = message.required & !seen;
        if missing != 0 {
            return Err(Error::MissingField {
                place: Place { offset: place.offset + job.first.offset as u64, ..place },
                message: message.name,
                field: message.fields.get(missing.trailing_zeros() as usize).map_or("?", |field| field.name),
            });
        }
        next = jobs.pop();
    }
    Ok(())
}

/// True if a field of this type can be written this way. Repeated numbers may be packed, whatever the schema says.
pub(crate) fn fits(field: &Field, value: &Value<'_>) -> bool {
    match (field.ty, value) {
        (Type::Message(_) | Type::Bytes, value) => matches!(value, Value::Bytes(_)),
        (_, Value::Bytes(_)) => field.label == Label::Repeated,
        (Type::Fixed32, value) => matches!(value, Value::Fixed32(_)),
        (Type::Fixed64, value) => matches!(value, Value::Fixed64(_)),
        (_, value) => matches!(value, Value::Varint(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::messages;

    const PLACE: Place = Place { kind: "CORE", entry: 2, offset: 100 };

    #[test]
    fn an_absent_field_is_named_with_its_message_and_place() {
        // core_entry { mtype: 1, tc { task_state: 1 } }
        let bytes = [0x08, 1, 0x1a, 2, 0x08, 1];
        assert_eq!(
            check(&messages::CORE_ENTRY, &bytes, PLACE),
            Err(Error::MissingField {
                place: Place { offset: 104, ..PLACE },
                message: "task_core_entry",
                field: "exit_code"
            })
        );
    }

    #[test]
    fn a_message_in_pieces_is_checked_as_a_whole() {
        let tc = |bytes: &[u8]| [&[0x1a, bytes.len() as u8], bytes].concat();
        let first = tc(&[0x08, 1, 0x10, 0, 0x18, 0]);
        let second = tc(&[0x20, 0, 0x28, 0, 0x32, 1, b'x']);
        let mtype = [0x08, 1].to_vec();
        assert_eq!(
            check(&messages::CORE_ENTRY, &[mtype.clone(), first.clone(), second].concat(), PLACE),
            Ok(())
        );
        assert!(check(&messages::CORE_ENTRY, &[mtype, first].concat(), PLACE).is_err());
    }

    #[test]
    fn two_fields_of_one_type_do_not_complete_each_other() {
        // task_timers_entry: real and virt are both itimer_entry { isec, iusec, vsec, vusec }, each with one half; prof is whole.
        let halves = [0x0a, 4, 0x08, 1, 0x10, 1, 0x12, 4, 0x18, 1, 0x20, 1];
        let whole = [0x1a, 8, 0x08, 1, 0x10, 1, 0x18, 1, 0x20, 1];
        let bytes = [&halves[..], &whole].concat();
        assert!(matches!(
            check(&messages::TASK_TIMERS_ENTRY, &bytes, PLACE),
            Err(Error::MissingField { message: "itimer_entry", .. })
        ));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        // aa_namespace inside aa_namespace (field 3), again and again.
        let mut bytes = vec![0x0a, 0];
        for _ in 0..10_000 {
            let mut outer = vec![0x1a];
            crate::wire::write_varint(&mut outer, bytes.len() as u64);
            outer.extend_from_slice(&bytes);
            outer.extend_from_slice(&[0x0a, 0]);
            bytes = outer;
        }
        let found = check(&messages::AA_NAMESPACE, &bytes, PLACE);
        assert!(matches!(found, Err(Error::Wire { fault: WireFault::TooDeep, .. })), "{found:?}");
    }
}

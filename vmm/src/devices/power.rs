//! The ports by which a guest switches its machine off or asks for a restart.

use crate::ending::Ending;
use crate::layout::{KEYBOARD_COMMAND_PORT, POWER_OFF, RESET_PORT, SLEEP_CONTROL_PORT, SLEEP_STATUS_PORT};

/// The keyboard controller's command that pulls the processor's reset line.
const PULSE_RESET_LINE: u8 = 0xfe;

/// What a write to a port asks for.
pub(super) fn asked_for(port: u16, data: &[u8]) -> Option<Ending> {
    match (port, *data.first()?) {
        (RESET_PORT, _) | (KEYBOARD_COMMAND_PORT, PULSE_RESET_LINE) => Some(Ending::Reset),
        (SLEEP_CONTROL_PORT, POWER_OFF) => Some(Ending::PowerOff),
        _ => None,
    }
}

/// What a port reads: awake, and a keyboard controller that takes commands; nobody at any other.
pub(super) fn status(port: u16) -> u8 {
    match port {
        KEYBOARD_COMMAND_PORT | RESET_PORT | SLEEP_CONTROL_PORT | SLEEP_STATUS_PORT => 0,
        _ => 0xff,
    }
}

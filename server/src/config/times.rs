//! How the times of the settings relate: each is fine alone, and some are wrong together.

use std::time::Duration;

use schemas::core::Capabilities;

use super::Fault;
use super::sections::Config;

/// Every pair that contradicts itself, with both values and the remedy.
pub(super) fn relate(config: &Config, core: &Capabilities, faults: &mut Vec<Fault>) {
    abandoned(config, faults);
    fence(config, faults);
    patience(config, core, faults);
    memory(config, core, faults);
}

/// A sender is taken to be abandoned once it was seen silent for half of the time; a living one must be done by then.
fn abandoned(config: &Config, faults: &mut Vec<Fault>) {
    let abandoned_ms = config.replay.abandoned_after_ms;
    let senders =
        [("write_deadline_ms", config.write_deadline_ms), ("replay.core_timeout_ms", config.replay.core_timeout_ms)];
    for (name, sending_ms) in senders {
        if abandoned_ms / 2 <= sending_ms {
            let text = format!(
                "is {abandoned_ms} ms, and half of it must be more than {name}, which is {sending_ms} ms: senders that are still at work \
                 would be taken to be gone; raise it above {} ms, or lower {name}",
                sending_ms.saturating_mul(2).saturating_add(1)
            );
            faults.push(Fault::new("replay.abandoned_after_ms", text));
        }
    }
}

/// How long one replayer schedules without renewal.
fn fence_ms() -> u64 {
    millis(replayer::Options::default().fence_ttl)
}

/// A replayer that was lost with a request under way is followed by another one after the fence's time; the request must be over by
/// then.
fn fence(config: &Config, faults: &mut Vec<Fault>) {
    let (timeout_ms, fence_ms) = (config.replay.core_timeout_ms, fence_ms());
    if timeout_ms >= fence_ms {
        let text = format!(
            "is {timeout_ms} ms, and must be less than the {fence_ms} ms for which a replayer holds its fence: the next replayer would \
             begin while a request of the one before is still under way; lower it"
        );
        faults.push(Fault::new("replay.core_timeout_ms", text));
    }
}

/// A person is called only for what the machine had time to find out.
fn patience(config: &Config, core: &Capabilities, faults: &mut Vec<Fault>) {
    let (park_ms, timeout_ms) = (config.replay.park_after_ms, config.replay.core_timeout_ms);
    let mut needs = vec![("another replayer needs to take over from a lost one", fence_ms())];
    if core.enquiry {
        let proof_ms = core.request_lifetime_ms_max.saturating_add(timeout_ms);
        needs.push((
            "a proof of absence takes (request-lifetime-ms-max of the core, and replay.core_timeout_ms)",
            proof_ms,
        ));
    }
    for (what, needed_ms) in needs {
        if park_ms <= needed_ms {
            let text = format!(
                "is {park_ms} ms, and must be more than the {needed_ms} ms that {what}: people would be called for what ends by itself; \
                 raise it"
            );
            faults.push(Fault::new("replay.park_after_ms", text));
        }
    }
}

/// What a direct write left behind must still be in the core's memory when it is sent again.
fn memory(config: &Config, core: &Capabilities, faults: &mut Vec<Fault>) {
    let Some(memory_ms) = core.reference_memory_ms else { return };
    let (margin_ms, lifetime_ms) = (config.replay.memory_margin_ms, core.request_lifetime_ms_max);
    let deadline_ms = config.write_deadline_ms;
    let used_up_ms = margin_ms.saturating_add(lifetime_ms).saturating_add(deadline_ms);
    if memory_ms <= used_up_ms {
        let text = format!(
            "the core remembers references for {memory_ms} ms, and this ({margin_ms} ms), a request's lifetime ({lifetime_ms} ms) and \
             write_deadline_ms ({deadline_ms} ms) use up {used_up_ms} ms, so nothing could ever be sent again; lower it, or leave \
             reference-memory-ms out of the core's capabilities"
        );
        faults.push(Fault::new("replay.memory_margin_ms", text));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

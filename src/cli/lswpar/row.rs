//! One WPAR as it is listed.

use crate::cli::{hydrate, lifecycle};
use crate::launch::Observation;
use crate::model::{Consistency, View, WparName, WparRecord, WparState};
use crate::registry::Registry;

/// All that the list knows about a WPAR.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: WparName,
    pub(super) state: WparState,
    /// `None` if the record cannot be read.
    pub(super) record: Option<WparRecord>,
    /// What it sees of its source; nothing special, if that cannot be read.
    pub(super) view: View,
    /// How consistent a copy of the running system is.
    pub(super) consistency: Option<Consistency>,
    pub(super) observation: Observation,
    /// The process and verb of an operation in progress.
    pub(super) operation: Option<(u32, String)>,
}

impl Row {
    /// Looks at the WPAR of this record.
    pub(super) fn new(registry: &Registry, record: WparRecord) -> Self {
        let name = record.name.clone();
        let operation = registry.operation(&name);
        let sight = lifecycle::look(registry, &record, false);
        let view = registry.view(&record.name).unwrap_or_default();
        Self {
            name,
            state: sight.state,
            observation: sight.observation,
            consistency: hydrate::consistency(registry, &record, &view),
            view,
            record: Some(record),
            operation,
        }
    }

    /// A WPAR whose record is damaged: only `rmwpar -F` helps.
    pub(super) fn unreadable(name: WparName) -> Self {
        Self {
            name,
            state: WparState::Broken,
            record: None,
            view: View::default(),
            consistency: None,
            observation: Observation::default(),
            operation: None,
        }
    }

    /// The letter of its type.
    pub(super) fn kind(&self) -> Option<char> {
        self.record.as_ref().map(|record| record.type_letter())
    }
}

//! How far the listing of a namespace is, and what of it is to be said.

use jiff::Timestamp;

use crate::{
    cluster::catalog::{KINDS, ListEnd},
    error::Fatal,
    model::target::Kind,
    ui::{escape, list::age, wording::Severity},
};

/// The code of an error about a missing right.
const FORBIDDEN: &str = "fwd::access::forbidden";

/// How far it is.
#[derive(Debug, Clone)]
pub(super) struct NamespaceListing {
    ended: Vec<(Kind, Result<ListEnd, Fatal>)>,
    /// Nothing can be listed.
    pub failed: Option<Fatal>,
    /// What is waited for.
    pub waiting: String,
    since: Timestamp,
}

/// A line below the list.
pub(super) type ListingNote = (Severity, String);

impl NamespaceListing {
    pub(super) fn begin(now: Timestamp) -> Self {
        Self { ended: Vec::new(), failed: None, waiting: "reading the kubeconfig".to_owned(), since: now }
    }

    /// A kind is listed, or cannot be.
    pub(super) fn end(&mut self, kind: Kind, how: Result<ListEnd, Fatal>) {
        self.ended.retain(|(own, _)| *own != kind);
        self.ended.push((kind, how));
    }

    pub(super) fn is_over(&self) -> bool {
        self.failed.is_some() || self.ended.len() >= KINDS.len()
    }

    /// Whether there may be objects of this kind that are not shown, and will not come.
    pub(super) fn is_partial(&self, kind: Kind) -> bool {
        self.failed.is_some() || self.ended.iter().any(|(own, _)| *own == kind) && !self.is_complete(kind)
    }

    /// Whether all objects of this kind are known.
    pub(super) fn is_complete(&self, kind: Kind) -> bool {
        self.ended.iter().any(|(own, how)| *own == kind && *how == Ok(ListEnd::Complete))
    }

    /// The kinds of which some may not be shown.
    pub(super) fn partial_kinds(&self) -> impl Iterator<Item = Kind> {
        KINDS.into_iter().filter(|kind| self.is_partial(*kind))
    }

    fn refused(&self) -> impl Iterator<Item = (Kind, &Fatal)> {
        let mut all: Vec<_> =
            self.ended.iter().filter_map(|(kind, how)| Some((*kind, how.as_ref().err()?))).collect();
        all.sort_by_key(|(kind, _)| KINDS.iter().position(|own| own == kind));
        all.into_iter()
    }

    /// What is to be said, in a line each.
    pub(super) fn notes(&self, now: Timestamp) -> Vec<ListingNote> {
        let mut notes = Vec::new();
        if let Some(fatal) = &self.failed {
            notes.push((Severity::Error, sentence(fatal)));
            notes.push((
                Severity::Plain,
                "Ctrl-R tries again, Ctrl-N chooses another namespace, Ctrl-T another context; ? tells more."
                    .to_owned(),
            ));
            return notes;
        }
        if !self.is_over() {
            notes.push((Severity::Plain, format!("{}, for {}", self.waiting, age(self.since, now))));
        }
        let (denied, failed): (Vec<_>, Vec<_>) =
            self.refused().partition(|(_, fatal)| fatal.code() == FORBIDDEN);
        if !denied.is_empty() {
            let kinds = plurals(denied.iter().map(|(kind, _)| *kind));
            notes.push((
                Severity::Warning,
                format!(
                    "Not shown: {kinds}; you have no right to list them (? tells which right is missing)."
                ),
            ));
            notes.push((Severity::Plain, "Type a name to take it as it is, for example svc/api".to_owned()));
        }
        if let Some((_, fatal)) = failed.first() {
            let text = if failed.len() == KINDS.len() {
                format!("Nothing can be listed: {}", why(fatal))
            } else {
                let kinds = plurals(failed.iter().map(|(kind, _)| *kind));
                format!("Not shown: {kinds}; {}", why(fatal))
            };
            notes.push((Severity::Error, text));
            notes.push((Severity::Plain, "Ctrl-R tries again".to_owned()));
        }
        let cut = self.ended.iter().filter(|(_, how)| matches!(how, Ok(ListEnd::Cut))).map(|(kind, _)| *kind);
        let cut = plurals(cut);
        if !cut.is_empty() {
            notes.push((
                Severity::Warning,
                format!("There are more {cut} than are shown; type the whole name."),
            ));
        }
        notes
    }

    /// All about what is not shown, line by line.
    pub(super) fn details(&self) -> Vec<String> {
        let mut told: Vec<&Fatal> = Vec::new();
        for fatal in self.failed.iter().chain(self.refused().map(|(_, fatal)| fatal)) {
            if !told.contains(&fatal) {
                told.push(fatal);
            }
        }
        let mut lines = Vec::new();
        for fatal in told {
            lines.push(String::new());
            lines.push(sentence(fatal));
            let advice = fatal.advice().unwrap_or_default();
            lines.extend(advice.lines().map(|line| format!("  {}", escape::line(line))));
        }
        lines
    }
}

fn plurals(kinds: impl Iterator<Item = Kind>) -> String {
    kinds.map(Kind::plural).collect::<Vec<_>>().join(", ")
}

/// Why something failed, in one line.
pub(super) fn why(fatal: &Fatal) -> String {
    let causes: Vec<_> = fatal.causes().collect();
    let text = if causes.is_empty() { fatal.to_string() } else { causes.join(": ") };
    escape::line(&text).into_owned()
}

/// What failed and why, in one line.
pub(super) fn sentence(fatal: &Fatal) -> String {
    let causes: Vec<_> =
        std::iter::once(fatal.to_string()).chain(fatal.causes().map(str::to_owned)).collect();
    escape::line(&causes.join(": ")).into_owned()
}

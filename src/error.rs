//! Errors, split by consequence.
//!
//! [`Fatal`] ends the command, or refuses a request, and is shown to a person: what failed, on which object, why, and
//! what to do next. [`Transient`] ends one attempt and is tried again by its caller; it becomes `Fatal` only
//! where there is nothing left to try.

use std::{borrow::Cow, fmt, io};

use serde::{Deserialize, Serialize};

/// What ends a command or refuses a request, for a person: what failed and on which object ([`Display`](fmt::Display)), why,
/// and what to do next.
// It is printed once, by `app`, and may come from another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fatal {
    code: Cow<'static, str>,
    what: String,
    why: Option<Box<Cause>>,
    help: Option<String>,
    excerpt: Option<Box<Excerpt>>,
}

/// A text in which something is wrong, in one place or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// What the text is called: a file's path.
    pub name: String,
    /// All of it.
    pub text: String,
    /// Where, in the order of the text.
    pub problems: Vec<Problem>,
}

/// A place in a text, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where it begins, in bytes.
    pub offset: usize,
    /// How long it is, in bytes.
    pub length: usize,
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// One link of the chain of causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cause {
    text: String,
    next: Option<Box<Self>>,
}

#[doc(hidden)]
impl Fatal {
    /// `code` is stable and searchable, `fwd::AREA::WORD`; `what` says what failed and on which object.
    pub fn new(code: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Self { code: code.into(), what: what.into(), why: None, help: None, excerpt: None }
    }

    /// Adds why it failed, most immediate cause first.
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        let mut end = &mut self.why;
        while let Some(link) = end {
            end = &mut link.next;
        }
        *end = Some(Box::new(Cause { text: why.to_string(), next: None }));
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says where it was asked for what failed, if that is known: `fwd.yaml:4`.
    #[must_use]
    pub fn asked_by(self, origin: Option<&str>) -> Self {
        match origin {
            Some(origin) => self.because(format!("{origin} asks for it")),
            None => self,
        }
    }

    /// Points at what is wrong in a text.
    #[must_use]
    pub fn found_in(mut self, excerpt: Excerpt) -> Self {
        self.excerpt = Some(Box::new(excerpt));
        self
    }

    /// The text in which something is wrong.
    pub fn excerpt(&self) -> Option<&Excerpt> {
        self.excerpt.as_deref()
    }
}

impl Fatal {
    /// Its kind, `fwd::AREA::WORD`: stable, for a program to tell errors apart and for a person to search for.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What to do next.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Why it failed, most immediate cause first.
    pub fn causes(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(self.why.as_deref(), |why| why.next.as_deref()).map(|why| why.text.as_str())
    }
}

impl Problem {
    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.next.as_ref().map(|next| next.as_ref() as _)
    }
}

impl std::error::Error for Fatal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.why.as_ref().map(|why| why.as_ref() as _)
    }
}

impl miette::Diagnostic for Fatal {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }
}

/// Ends one attempt to reach a pod. The next attempt may do better, on the same pod or another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Transient {
    /// What went wrong, for a person.
    pub why: String,
}

/// The system's words for an error, without Rust's `(os error 98)`.
pub fn io_message(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}

//! A list in which one searches by typing: what matches, the best first, and which of it is selected.

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{AtomKind, CaseMatching, Normalization, Pattern},
};

/// What is typed at most: longer than the longest name with its namespace and type.
const MAX_TYPED: usize = 600;

/// What a use is worth in the ranks of a search, and the most that all uses are: a few characters more that match in a row.
/// What was typed counts for more than what was used.
const USE_SCORE: f64 = 8.0;
const MAX_USE_SCORE: f64 = 40.0;

/// Something that can be searched for.
pub trait SearchEntry {
    /// What is searched in, by which it is known again, too.
    fn words(&self) -> &str;
    /// How much it is used.
    fn used(&self) -> f64 {
        0.0
    }
    /// Of those that are used as much: the lower comes first.
    fn rank(&self) -> usize {
        0
    }
}

/// The list.
#[derive(Debug, Clone)]
pub struct SearchList<T> {
    entries: Vec<T>,
    /// What can be taken although it is not in the list, below what is.
    tail: Vec<T>,
    query: String,
    /// Those that match, the best first.
    shown: Vec<usize>,
    selected: usize,
    /// Somebody has moved the selection: it stays on what it is on, whatever arrives.
    has_moved: bool,
    /// The first that is on the screen, and how many are.
    pub(super) first: usize,
    pub(super) height: usize,
}

impl<T> Default for SearchList<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            tail: Vec::new(),
            query: String::new(),
            shown: Vec::new(),
            selected: 0,
            has_moved: false,
            first: 0,
            height: 1,
        }
    }
}

impl<T: SearchEntry> SearchList<T> {
    /// With these to begin with.
    pub fn of(entries: Vec<T>) -> Self {
        let mut list = Self { entries, ..Self::default() };
        list.search();
        list
    }

    /// All of it.
    pub fn entries(&self) -> &[T] {
        &self.entries
    }

    /// What is typed.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// How many are shown.
    pub fn len(&self) -> usize {
        self.shown.len() + self.tail.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is shown, from one on.
    pub fn shown(&self, from: usize) -> impl Iterator<Item = &T> {
        let entries = self.shown.iter().map(|at| &self.entries[*at]);
        entries.chain(&self.tail).skip(from)
    }

    /// Which of it is selected.
    pub fn position(&self) -> usize {
        self.selected
    }

    /// The selected one.
    pub fn selected(&self) -> Option<&T> {
        self.shown(self.selected).next()
    }

    /// Takes more in, and something else for what is there by the same words.
    pub fn change(&mut self, change: impl FnOnce(&mut Vec<T>)) {
        let kept = self.selected().filter(|_| self.has_moved).map(|one| one.words().to_owned());
        change(&mut self.entries);
        self.search();
        if let Some(at) = kept.and_then(|words| self.shown(0).position(|one| one.words() == words)) {
            self.selected = at;
        }
    }

    /// What can be taken as it is typed.
    pub fn offer(&mut self, tail: Vec<T>) {
        self.tail = tail;
        self.selected = self.selected.min(self.len().saturating_sub(1));
    }

    /// One more character.
    pub fn push(&mut self, c: char) {
        if self.query.len() < MAX_TYPED {
            self.query.push(c);
            self.begin();
        }
    }

    /// One less. False where there was none.
    pub fn pop(&mut self) -> bool {
        let popped = self.query.pop().is_some();
        if popped {
            self.begin();
        }
        popped
    }

    /// None at all. False where there was none.
    pub fn clear(&mut self) -> bool {
        let was_typed = !self.query.is_empty();
        self.query.clear();
        if was_typed {
            self.begin();
        }
        was_typed
    }

    /// Selects this one of those that are shown.
    pub fn select(&mut self, at: usize) {
        self.selected = at.min(self.len().saturating_sub(1));
        self.has_moved = true;
    }

    /// Moves the selection.
    pub fn step(&mut self, by: isize) {
        self.select(self.selected.saturating_add_signed(by));
    }

    /// Has the selected one among the `height` rows that are on the screen, moving as little as is needed.
    pub(super) fn scroll_to(&mut self, height: usize) {
        let last = self.len().saturating_sub(height);
        self.first = self.first.min(self.selected).max((self.selected + 1).saturating_sub(height)).min(last);
        self.height = height;
    }

    /// Another text is searched for: the best of what matches is selected.
    fn begin(&mut self) {
        self.tail.clear();
        self.search();
        (self.selected, self.first, self.has_moved) = (0, 0, false);
    }

    fn search(&mut self) {
        let pattern = Pattern::new(&self.query, CaseMatching::Ignore, Normalization::Never, AtomKind::Fuzzy);
        let mut matcher = Matcher::new(Config::DEFAULT.match_paths());
        let mut characters = Vec::new();
        let mut found: Vec<(f64, usize)> = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let used = entry.used();
            let score = if pattern.atoms.is_empty() {
                used
            } else {
                match pattern.score(Utf32Str::new(entry.words(), &mut characters), &mut matcher) {
                    Some(score) => f64::from(score) + (used * USE_SCORE).min(MAX_USE_SCORE),
                    None => continue,
                }
            };
            found.push((score, at));
        }
        let order = |at: usize| (self.entries[at].rank(), self.entries[at].words());
        let shortest = |at: usize| if pattern.atoms.is_empty() { 0 } else { self.entries[at].words().len() };
        found.sort_by(|(one, here), (other, there)| {
            let score = other.total_cmp(one);
            score.then_with(|| (shortest(*here), order(*here)).cmp(&(shortest(*there), order(*there))))
        });
        self.shown = found.into_iter().map(|(_, at)| at).collect();
        self.selected = self.selected.min(self.len().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Word(&'static str, f64);

    impl SearchEntry for Word {
        fn words(&self) -> &str {
            self.0
        }
        fn used(&self) -> f64 {
            self.1
        }
    }

    fn shown(list: &SearchList<Word>) -> Vec<&str> {
        list.shown(0).map(|word| word.0).collect()
    }

    fn typed(list: &mut SearchList<Word>, text: &str) {
        list.clear();
        text.chars().for_each(|c| list.push(c));
    }

    #[test]
    fn the_best_comes_first() {
        let words = ["svc/payments", "svc/api", "deploy/api-gateway", "pod/api-7d9f8b-x2x1z", "svc/web"];
        let mut list = SearchList::of(words.map(|word| Word(word, 0.0)).into());
        assert_eq!(list.len(), 5);
        typed(&mut list, "api");
        assert_eq!(shown(&list)[0], "svc/api");
        assert!(!shown(&list).contains(&"svc/web"));
        typed(&mut list, "sv pay");
        assert_eq!(shown(&list), ["svc/payments"]);
        typed(&mut list, "API gw");
        assert_eq!(shown(&list), ["deploy/api-gateway"]);
        typed(&mut list, "nothing");
        assert!(list.is_empty() && list.selected().is_none());
    }

    #[test]
    fn what_is_used_comes_before_what_is_not() {
        let mut list = SearchList::of(vec![Word("svc/api", 0.0), Word("svc/app", 0.3), Word("svc/apx", 2.0)]);
        assert_eq!(shown(&list), ["svc/apx", "svc/app", "svc/api"]);
        typed(&mut list, "ap");
        assert_eq!(shown(&list)[0], "svc/apx");
        typed(&mut list, "svc/api");
        assert_eq!(shown(&list), ["svc/api"]);
    }

    #[test]
    fn the_selection_stays_on_what_was_chosen() {
        let mut list = SearchList::of(vec![Word("b", 0.0), Word("d", 0.0)]);
        list.change(|all| all.push(Word("a", 0.0)));
        // Nobody has moved it: it is on the first.
        assert_eq!(list.selected().map(|word| word.0), Some("a"));
        list.step(2);
        list.change(|all| all.push(Word("c", 0.0)));
        assert_eq!(list.selected().map(|word| word.0), Some("d"));
        list.step(9);
        list.step(-100);
        assert_eq!(list.position(), 0);
        list.offer(vec![Word("e", 0.0)]);
        list.select(100);
        assert_eq!(list.selected().map(|word| word.0), Some("e"));
    }
}

//! What RBAC denied, and the rule that would grant it.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

/// What RBAC denied, read from the API server's one sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Who asked.
    pub user: String,
    /// `get`, `list`, `watch`, `create`.
    pub verb: String,
    /// `pods`, `pods/portforward`.
    pub resource: String,
    /// The API group, empty for the core one.
    pub group: String,
    /// `None` at the cluster scope.
    pub namespace: Option<String>,
}

impl Denied {
    /// Reads `pods is forbidden: User "dev" cannot list resource "pods" in API group "" in the namespace "x"`.
    pub fn parse(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("User \"")?;
        let (user, rest) = rest.split_once("\" cannot ")?;
        let (verb, rest) = rest.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, rest) = rest.split_once('"')?;
        let namespace = rest.split_once("in the namespace \"").and_then(|(_, rest)| rest.split_once('"'));
        Some(Self {
            user: user.to_owned(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            group: group.to_owned(),
            namespace: namespace.map(|(namespace, _)| namespace.to_owned()),
        })
    }

    /// All verbs that this tool uses on the resource, so that the next one is not the next to be denied.
    fn verbs(&self) -> Vec<&str> {
        let mut verbs = match self.resource.as_str() {
            "pods/portforward" => vec!["get", "create"],
            "pods" => vec!["get", "list", "watch"],
            "endpointslices" => vec!["list", "watch"],
            _ => vec![],
        };
        if !verbs.contains(&self.verb.as_str()) {
            verbs.push(&self.verb);
        }
        verbs
    }

    fn kind(&self) -> &'static str {
        if self.namespace.is_some() { "Role" } else { "ClusterRole" }
    }

    /// The role that grants it, as YAML.
    pub fn rule(&self) -> String {
        self.role(std::iter::once(self))
    }

    /// A role where this was denied that grants `all`.
    fn role<'a>(&self, all: impl Iterator<Item = &'a Self>) -> String {
        let kind = self.kind();
        let name = match &self.namespace {
            Some(namespace) => format!("  name: kubectl-fwd\n  namespace: {namespace}\n"),
            None => "  name: kubectl-fwd\n".to_owned(),
        };
        let mut yaml =
            format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n{name}rules:\n");
        let mut rules = BTreeSet::new();
        for denied in all.filter(|denied| rules.insert((&denied.group, &denied.resource))) {
            // Writing to a String cannot fail.
            let _ = write!(
                yaml,
                "- apiGroups: [\"{}\"]\n  resources: [\"{}\"]\n  verbs: [\"{}\"]\n",
                denied.group,
                denied.resource,
                denied.verbs().join("\", \"")
            );
        }
        yaml
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        format!("this {}, bound to \"{}\", grants it:\n{}", self.kind(), self.user, self.rule().trim_end())
    }

    /// What to do about all of these, which were denied to one user in one place.
    pub fn help_for_all(all: &[Self]) -> Option<String> {
        let first = all.first()?;
        let (kind, user, role) = (first.kind(), &first.user, first.role(all.iter()));
        Some(format!("this {kind}, bound to \"{user}\", grants what is missing:\n{}", role.trim_end()))
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, verb, resource, group, namespace } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "User \"{user}\" cannot {verb} {resource}{dot}{group}")?;
        match namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => f.write_str(" in the whole cluster"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(verb: &str, resource: &str, place: &str) -> Denied {
        let message = format!(
            "pods \"x\" is forbidden: User \"dev\" cannot {verb} resource \"{resource}\" in API group \"\" {place}"
        );
        Denied::parse(&message).unwrap()
    }

    #[test]
    fn the_rule() {
        let help = denied("get", "pods/portforward", "in the namespace \"team\"").help();
        assert_eq!(
            help,
            "this Role, bound to \"dev\", grants it:\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n\
             metadata:\n  name: kubectl-fwd\n  namespace: team\nrules:\n- apiGroups: [\"\"]\n  resources: \
             [\"pods/portforward\"]\n  verbs: [\"get\", \"create\"]"
        );
        let everywhere = denied("impersonate", "users", "at the cluster scope");
        assert!(everywhere.help().starts_with("this ClusterRole"));
        assert!(everywhere.rule().ends_with("verbs: [\"impersonate\"]\n"));
        assert_eq!(everywhere.to_string(), "User \"dev\" cannot impersonate users in the whole cluster");
    }

    #[test]
    fn one_role_for_all() {
        let place = "in the namespace \"team\"";
        let all = [
            denied("list", "pods", place),
            denied("watch", "pods", place),
            denied("create", "pods/portforward", place),
        ];
        let help = Denied::help_for_all(&all).unwrap();
        assert!(help.starts_with("this Role, bound to \"dev\", grants what is missing:\n"), "{help}");
        assert_eq!(
            (help.matches("resources: ").count(), help.matches("kind: Role").count()),
            (2, 1),
            "{help}"
        );
        assert_eq!(Denied::help_for_all(&[]), None);
    }

    #[test]
    fn other_sentences() {
        for text in
            ["", "forbidden: denied", "User \"dev\" cannot", "User \"dev\" cannot get resource \"pods\""]
        {
            assert_eq!(Denied::parse(text), None, "{text}");
        }
    }
}

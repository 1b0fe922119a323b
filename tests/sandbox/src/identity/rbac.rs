//! Who may do what: rules over verb, group, resource, namespace and name, and the words of a refusal.

use serde_json::{Value, json};

use crate::api::meta::{items, namespace, text};
use crate::api::resources::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING};
use crate::api::status::Status;
use crate::cluster::store::{Key, Store};

/// What a user may do. An empty list of namespaces or names means all of them; `*` matches anything.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Vec<String>,
    names: Vec<String>,
}

fn words(list: &str) -> Vec<String> {
    list.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl Rule {
    /// Allows `verbs` on `resources` of any API group; both are lists with commas, and a subresource is written
    /// `pods/portforward`.
    pub fn new(verbs: &str, resources: &str) -> Self {
        Self { verbs: words(verbs), groups: vec!["*".into()], resources: words(resources), ..Self::default() }
    }

    /// Only in these namespaces.
    #[must_use]
    pub fn in_namespaces(mut self, namespaces: &str) -> Self {
        self.namespaces = words(namespaces);
        self
    }

    /// Only on objects with these names.
    #[must_use]
    pub fn named(mut self, names: &str) -> Self {
        self.names = words(names);
        self
    }

    /// A rule of a role, as a binding in `namespace` grants it; an empty one is every namespace.
    fn of_role(rule: &Value, namespace: &str) -> Self {
        let list = |field: &str| {
            let entries = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
            entries.map(str::to_owned).collect()
        };
        Self {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            namespaces: words(namespace),
            names: list("resourceNames"),
        }
    }

    fn allows(&self, action: &Action<'_>) -> bool {
        let has = |list: &[String], word: &str| list.iter().any(|entry| entry == "*" || entry == word);
        let optional = |list: &[String], word: &str| list.is_empty() || has(list, word);
        has(&self.verbs, action.verb)
            && has(&self.groups, action.group)
            && has(&self.resources, &action.full_resource())
            && optional(&self.namespaces, action.namespace)
            && optional(&self.names, action.name)
    }

    /// The rule as `kubectl auth can-i --list` shows it.
    pub(crate) fn review(&self) -> Value {
        json!({
            "verbs": self.verbs, "apiGroups": self.groups, "resources": self.resources, "resourceNames": self.names,
        })
    }
}

/// What the roles that are bound to a user, or to a group it is in, allow.
pub(crate) fn granted(store: &Store, user: &str, groups: &[String]) -> Vec<Rule> {
    let means = |subject: &Value| match text(subject, "/kind") {
        "User" => text(subject, "/name") == user,
        "Group" => groups.iter().any(|group| group == text(subject, "/name")),
        "ServiceAccount" => {
            let (home, name) = (text(subject, "/namespace"), text(subject, "/name"));
            user.strip_prefix("system:serviceaccount:").is_some_and(|rest| rest == format!("{home}:{name}"))
        }
        _ => false,
    };
    let bindings = [&ROLE_BINDING, &CLUSTER_ROLE_BINDING];
    let bindings = bindings.into_iter().flat_map(|resource| store.all(resource, None));
    let bound = bindings.filter(|binding| items(binding, "/subjects").iter().any(means));
    let rules = bound.filter_map(|binding| {
        let home = namespace(&binding);
        let name = text(&binding, "/roleRef/name");
        let role = match text(&binding, "/roleRef/kind") {
            "ClusterRole" => Key::new(&CLUSTER_ROLE, "", name),
            _ => Key::new(&ROLE, home, name),
        };
        let rules =
            items(&*store.get(&role)?, "/rules").iter().map(|rule| Rule::of_role(rule, home)).collect();
        Some::<Vec<_>>(rules)
    });
    rules.flatten().collect()
}

/// What a request wants to do. Strings that do not apply are empty.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Action<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl Action<'_> {
    fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// Lets it pass or says, as Kubernetes does, what is missing.
    pub(crate) fn check(&self, user: &str, rules: &[Rule]) -> Result<(), Status> {
        if rules.iter().any(|rule| rule.allows(self)) { Ok(()) } else { Err(self.refusal(user)) }
    }

    fn refusal(&self, user: &str) -> Status {
        let Action { verb, group, resource, namespace, name, .. } = *self;
        let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let subject = if name.is_empty() { qualified } else { format!("{qualified} \"{name}\"") };
        let place = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{namespace}\"")
        };
        let full = self.full_resource();
        let message = format!(
            "{subject} is forbidden: User \"{user}\" cannot {verb} resource \"{full}\" in API group \"{group}\" {place}"
        );
        Status::forbidden(resource, group, name, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<Rule> {
        vec![
            Rule::new("get,list", "pods, deployments").in_namespaces("default"),
            Rule::new("create", "pods/portforward").named("db-0"),
        ]
    }

    fn act<'a>(
        verb: &'a str,
        resource: &'a str,
        sub: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> Action<'a> {
        Action { verb, resource, subresource: sub, namespace, name, ..Action::default() }
    }

    #[test]
    fn rules_are_exact() {
        let rules = rules();
        let may = |action: Action<'_>| action.check("dev", &rules).is_ok();
        assert!(may(act("list", "pods", "", "default", "")));
        assert!(!may(act("list", "pods", "", "prod", "")));
        assert!(!may(act("watch", "pods", "", "default", "")));
        assert!(!may(act("get", "pods", "portforward", "default", "db-0")));
        assert!(may(act("create", "pods", "portforward", "default", "db-0")));
        assert!(!may(act("create", "pods", "portforward", "default", "db-1")));
        assert!(act("delete", "nodes", "", "", "x").check("admin", &[Rule::new("*", "*")]).is_ok());
    }

    #[test]
    fn refusals_are_worded_as_kubernetes_words_them() {
        let said = |action: Action<'_>| action.check("dev", &[]).unwrap_err().to_string();
        assert_eq!(
            said(act("get", "pods", "portforward", "default", "db-0")),
            "pods \"db-0\" is forbidden: User \"dev\" cannot get resource \"pods/portforward\" in API group \"\" in the namespace \"default\""
        );
        assert_eq!(
            said(Action { group: "apps", ..act("list", "deployments", "", "default", "") }),
            "deployments.apps is forbidden: User \"dev\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"default\""
        );
        assert_eq!(
            said(act("list", "nodes", "", "", "")),
            "nodes is forbidden: User \"dev\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
    }
}

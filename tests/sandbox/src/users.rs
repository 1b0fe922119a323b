//! Who is asking: bearer tokens, client certificates and impersonation.

use std::collections::HashMap;

use http::HeaderMap;
use serde_json::{Value, json};

use crate::rbac::{Action, Rule};
use crate::status::Status;

/// How a user proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A bearer token that works.
    Token,
    /// A bearer token that no longer works: every answer is 401.
    ExpiredToken,
    /// A client certificate, its CN the user and its O the groups.
    Certificate,
}

/// A user of the cluster.
#[derive(Debug, Clone)]
pub struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) credential: Credential,
    pub(crate) token: String,
}

impl User {
    /// A user with a token and no rights.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            groups: vec!["system:authenticated".into()],
            rules: Vec::new(),
            credential: Credential::Token,
            token: format!("token-of-{name}"),
        }
    }

    /// Adds a right; see [`Rule::new`].
    #[must_use]
    pub fn may(self, verbs: &str, resources: &str) -> Self {
        self.rule(Rule::new(verbs, resources))
    }

    /// Adds a right.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Proves who it is in another way.
    #[must_use]
    pub fn with(mut self, credential: Credential) -> Self {
        self.credential = credential;
        self
    }

    /// The users that every sandbox has: `admin` and `cert-admin` (everything), `dev` (reads, and creates
    /// port-forwards but does not get them), `nowatch`, `podonly`, `nothing` and `expired`.
    pub fn defaults() -> Vec<Self> {
        const READABLE: &str = "pods,services,endpoints,endpointslices,deployments,replicasets,statefulsets,\
                                daemonsets,jobs,replicationcontrollers,namespaces,events";
        let mut admins = ["admin", "cert-admin"].map(|name| Self::new(name).may("*", "*"));
        for admin in &mut admins {
            admin.groups.push("system:masters".into());
        }
        let [admin, cert] = admins;
        vec![
            admin,
            cert.with(Credential::Certificate),
            Self::new("dev").may("get,list,watch", READABLE).may("create", "pods/portforward"),
            Self::new("nowatch").may("get,list", READABLE).may("get,create", "pods/portforward"),
            Self::new("podonly").may("get", "pods").may("create", "pods/portforward"),
            Self::new("nothing"),
            Self::new("expired").may("*", "*").with(Credential::ExpiredToken),
        ]
    }
}

/// The one who asks, after impersonation.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    pub(crate) uid: String,
    pub(crate) extra: Value,
    pub(crate) rules: Vec<Rule>,
}

impl Identity {
    pub(crate) fn check(&self, action: &Action<'_>) -> Result<(), Status> {
        action.check(&self.name, &self.rules)
    }

    /// As a `SelfSubjectReview` shows it.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({ "username": self.name, "groups": self.groups });
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if self.extra.is_object() {
            info["extra"] = self.extra.clone();
        }
        info
    }
}

/// All users, found by name, token or certificate.
pub(crate) struct Users {
    by_name: HashMap<String, User>,
    /// The certificates made for users; nobody else can have one signed by this CA.
    by_certificate: HashMap<Vec<u8>, String>,
}

impl Users {
    pub(crate) fn new(users: Vec<User>, certificates: HashMap<Vec<u8>, String>) -> Self {
        let by_name = users.into_iter().map(|user| (user.name.clone(), user)).collect();
        Self { by_name, by_certificate: certificates }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// Who sends these headers over a connection with this client certificate.
    pub(crate) fn identify(
        &self,
        headers: &HeaderMap,
        certificate: Option<&[u8]>,
    ) -> Result<Identity, Status> {
        let token = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let user = match token {
            Some(token) => {
                self.by_name.values().find(|user| user.credential == Credential::Token && user.token == token)
            }
            None => certificate
                .and_then(|certificate| self.by_certificate.get(certificate))
                .and_then(|name| self.by_name.get(name)),
        };
        let user = user.ok_or_else(Status::unauthorized)?;
        let identity = Identity {
            name: user.name.clone(),
            groups: user.groups.clone(),
            uid: String::new(),
            extra: Value::Null,
            rules: user.rules.clone(),
        };
        self.impersonate(identity, headers)
    }

    /// Takes on the identity that `Impersonate-*` names, if the real one may.
    fn impersonate(&self, real: Identity, headers: &HeaderMap) -> Result<Identity, Status> {
        let all = |name: &str| -> Vec<String> {
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
        };
        let (groups, uid) = (all("impersonate-group"), all("impersonate-uid"));
        let extra: Vec<(&str, &str)> = headers
            .iter()
            .filter_map(|(name, value)| {
                Some((name.as_str().strip_prefix("impersonate-extra-")?, value.to_str().ok()?))
            })
            .collect();
        let Some(name) = all("impersonate-user").into_iter().next() else {
            if groups.is_empty() && uid.is_empty() && extra.is_empty() {
                return Ok(real);
            }
            return Err(Status::bad_request(
                "requested [] without impersonating a user: Impersonate-User header is required",
            ));
        };
        let may = |resource, subresource, group, name: &str| {
            real.check(&Action { verb: "impersonate", group, resource, subresource, namespace: "", name })
        };
        may("users", "", "", &name)?;
        groups.iter().try_for_each(|group| may("groups", "", "", group))?;
        uid.iter().try_for_each(|uid| may("uids", "", "authentication.k8s.io", uid))?;
        for (key, value) in &extra {
            may("userextras", key, "authentication.k8s.io", value)?;
        }
        let mut rules = self.by_name.get(&name).map(|user| user.rules.clone()).unwrap_or_default();
        if groups.iter().any(|group| group == "system:masters") {
            rules.push(Rule::new("*", "*"));
        }
        let mut info = json!({});
        for (key, value) in extra {
            match &mut info[key] {
                Value::Array(values) => values.push(json!(value)),
                other => *other = json!([value]),
            }
        }
        let groups = groups.into_iter().chain(["system:authenticated".to_owned()]).collect();
        let extra = if info == json!({}) { Value::Null } else { info };
        Ok(Identity { name, groups, uid: uid.into_iter().next().unwrap_or_default(), extra, rules })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn tokens_certificates_and_impersonation() {
        let certificates = HashMap::from([(vec![1, 2], "cert-admin".to_owned())]);
        let users = Users::new(User::defaults(), certificates);
        let admin = ("authorization", "Bearer token-of-admin");
        let who = |pairs: &[_], der: Option<&[u8]>| users.identify(&headers(pairs), der).map(|who| who.name);
        assert_eq!(who(&[admin], None).unwrap(), "admin");
        assert_eq!(who(&[], Some(&[1, 2])).unwrap(), "cert-admin");
        assert_eq!(who(&[], Some(&[3])).unwrap_err().code(), 401);
        assert_eq!(who(&[("authorization", "Bearer token-of-expired")], None).unwrap_err().code(), 401);
        assert_eq!(who(&[admin, ("impersonate-user", "dev")], None).unwrap(), "dev");
        let dev = [("authorization", "Bearer token-of-dev"), ("impersonate-user", "admin")];
        assert_eq!(
            users.identify(&headers(&dev), None).unwrap_err().to_string(),
            "users \"admin\" is forbidden: User \"dev\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
        );
    }
}

//! Who is asking: bearer tokens, client certificates and impersonation.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::meta;
use crate::api::status::Status;
use crate::cluster::store::{Key, Store};
use crate::identity::rbac::{self, Action, Rule};

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
            groups: vec![AUTHENTICATED.into()],
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

/// The group of everybody who has proven to be somebody.
const AUTHENTICATED: &str = "system:authenticated";

/// What a service account's name as a user begins with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The groups that a user is in by its name alone.
fn groups_of(name: &str) -> Vec<String> {
    let namespace = name.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| Some(rest.split_once(':')?.0));
    let of_accounts = namespace.into_iter().flat_map(|namespace| {
        ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
    });
    of_accounts.chain([AUTHENTICATED.to_owned()]).collect()
}

/// All users, found by name, token or certificate.
pub(crate) struct Users {
    by_name: HashMap<String, User>,
    /// The certificates made for users; nobody else can have one signed by this CA.
    by_certificate: Mutex<HashMap<Vec<u8>, String>>,
    /// The tokens that users have now, where those are not the first ones.
    rotated: Mutex<HashMap<String, String>>,
    /// The tokens that service accounts were given.
    issued: Mutex<HashMap<String, Issued>>,
}

/// Whose a token is, and until when.
struct Issued {
    account: Key,
    /// A token is for this account and not for a later one of its name.
    uid: String,
    until: Instant,
}

impl Users {
    pub(crate) fn new(users: Vec<User>, certificates: HashMap<Vec<u8>, String>) -> Self {
        let by_name = users.into_iter().map(|user| (user.name.clone(), user)).collect();
        let by_certificate = Mutex::new(certificates);
        Self { by_name, by_certificate, rotated: Mutex::default(), issued: Mutex::default() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// Gives a user another token; the old one is no longer good.
    pub(crate) fn rotate_token(&self, name: &str) -> String {
        let token = format!("token-of-{name}-{}", meta::new_uid());
        self.rotated.lock().insert(name.to_owned(), token.clone());
        token
    }

    /// Takes a user's certificate, and no other one of that user any more.
    pub(crate) fn rotate_certificate(&self, name: &str, certificate: Vec<u8>) {
        let mut certificates = self.by_certificate.lock();
        certificates.retain(|_, owner| owner != name);
        certificates.insert(certificate, name.to_owned());
    }

    /// Whether this is a user's token now.
    fn is_token_of(&self, user: &User, token: &str) -> bool {
        let rotated = self.rotated.lock();
        user.credential == Credential::Token && rotated.get(&user.name).unwrap_or(&user.token) == token
    }

    /// A new token for a service account.
    pub(crate) fn issue(&self, account: Key, uid: &str, lifetime: Duration) -> String {
        // The real thing signs a JSON web token; to its clients that is as opaque as this.
        let token = format!("token-of-{}-{}", account.name, meta::new_uid());
        let issued = Issued { account, uid: uid.to_owned(), until: Instant::now() + lifetime };
        self.issued.lock().insert(token.clone(), issued);
        token
    }

    /// The service account whose token this is, if it still is there.
    fn service_account(&self, token: &str, store: &Store) -> Option<Identity> {
        let issued = self.issued.lock();
        let Issued { account, uid, .. } = issued.get(token).filter(|issued| issued.until > Instant::now())?;
        let found = store.get(account).filter(|found| meta::uid(found) == uid)?;
        let name = format!("{SERVICE_ACCOUNT}{}:{}", account.namespace, account.name);
        let groups = groups_of(&name);
        let rules = rbac::granted(store, &name, &groups);
        Some(Identity { name, groups, uid: meta::uid(&found).to_owned(), extra: Value::Null, rules })
    }

    /// Who sends these headers over a connection with this client certificate.
    pub(crate) fn identify(
        &self,
        headers: &HeaderMap,
        certificate: Option<&[u8]>,
        store: &Store,
    ) -> Result<Identity, Status> {
        let token = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        if let Some(account) = token.and_then(|token| self.service_account(token, store)) {
            return self.impersonate(account, headers, store);
        }
        let user = match token {
            Some(token) => self.by_name.values().find(|user| self.is_token_of(user, token)),
            None => certificate
                .and_then(|certificate| self.by_certificate.lock().get(certificate).cloned())
                .and_then(|name| self.by_name.get(&name)),
        };
        let user = user.ok_or_else(Status::unauthorized)?;
        let identity = Identity {
            name: user.name.clone(),
            groups: user.groups.clone(),
            uid: String::new(),
            extra: Value::Null,
            rules: self.rules(&user.name, &user.groups, store),
        };
        self.impersonate(identity, headers, store)
    }

    /// What a user may do: by what it was made with, and by the roles bound to it.
    fn rules(&self, name: &str, groups: &[String], store: &Store) -> Vec<Rule> {
        let own = self.by_name.get(name).map(|user| user.rules.clone()).unwrap_or_default();
        own.into_iter().chain(rbac::granted(store, name, groups)).collect()
    }

    /// Takes on the identity that `Impersonate-*` names, if the real one may.
    fn impersonate(&self, real: Identity, headers: &HeaderMap, store: &Store) -> Result<Identity, Status> {
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
        let groups: Vec<String> = if groups.is_empty() {
            groups_of(&name)
        } else {
            groups.into_iter().chain([AUTHENTICATED.to_owned()]).collect()
        };
        let mut rules = self.rules(&name, &groups, store);
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
        let store = Store::default();
        let who = |pairs: &[_], der: Option<&[u8]>| {
            users.identify(&headers(pairs), der, &store).map(|who| who.name)
        };
        assert_eq!(who(&[admin], None).unwrap(), "admin");
        assert_eq!(who(&[], Some(&[1, 2])).unwrap(), "cert-admin");
        assert_eq!(who(&[], Some(&[3])).unwrap_err().code(), 401);
        assert_eq!(who(&[("authorization", "Bearer token-of-expired")], None).unwrap_err().code(), 401);
        assert_eq!(who(&[admin, ("impersonate-user", "dev")], None).unwrap(), "dev");
        let dev = [("authorization", "Bearer token-of-dev"), ("impersonate-user", "admin")];
        assert_eq!(
            users.identify(&headers(&dev), None, &store).unwrap_err().to_string(),
            "users \"admin\" is forbidden: User \"dev\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
        );
    }
}

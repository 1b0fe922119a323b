use rcgen::KeyPair;

use super::{
    fake::{TestCertificate, authority, pem, selfsigned, with_key},
    *,
};

/// A user with these PEMs as data.
fn user(certificate: &str, key: &str) -> AuthInfo {
    let mut user = AuthInfo::default();
    set_identity(&mut user, certificate, key);
    user
}

fn identity_of(certificate: &str, key: &str) -> Result<Arc<CertifiedKey>, Fatal> {
    own_identity(&user(certificate, key), &provider()).map(|identity| identity.expect("there are both"))
}

fn pkcs8(made: &TestCertificate) -> String {
    pem("PRIVATE KEY", &made.key.serialize_der())
}

#[test]
fn pairs_as_go_takes_them() {
    let root = selfsigned("root", authority);
    let client = root.issue("client", |_| {});
    let other = root.issue("other", |_| {});
    let key = pkcs8(&client);
    let both = [client.pem(), root.pem()].concat();
    for (what, certificate, key, certificates) in [
        ("plain", client.pem(), key.clone(), 1),
        ("a chain", both.clone(), key.clone(), 2),
        ("text around them", format!("Bag Attributes\n{both}\nend"), format!("a: b\n{key}"), 2),
        ("the same file twice", [&*key, &*both].concat(), [&*both, &*key].concat(), 2),
        ("another key in the certificate's", [client.pem(), pkcs8(&other)].concat(), key.clone(), 1),
        ("another certificate in the key's", client.pem(), [root.pem(), key.clone()].concat(), 1),
        ("parameters before the key", client.pem(), format!("{}{key}", pem("EC PARAMETERS", &[6, 0])), 1),
        ("another label", client.pem(), key.replace("PRIVATE", "RSA PRIVATE"), 1),
        ("Windows", both.replace('\n', "\r\n"), key.replace('\n', "\r\n"), 2),
        ("version 1", client.as_version_1(&root).pem(), key.clone(), 1),
    ] {
        let identity = identity_of(&certificate, &key).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(identity.cert.len(), certificates, "{what}");
    }
}

#[test]
fn keys_of_every_kind() {
    // `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_pubexp:3`: rcgen makes none with this exponent.
    let exponent_3 = KeyPair::from_pem(EXPONENT_3).unwrap();
    let mut keys = vec![exponent_3];
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        keys.push(KeyPair::generate_for(algorithm).unwrap());
    }
    for key in keys {
        let made = with_key("client", key, |_| {});
        let identity = identity_of(&made.pem(), &pkcs8(&made));
        assert!(identity.is_ok(), "{:?}: {:?}", made.key.algorithm(), identity.err());
    }
}

#[test]
fn what_cannot_be_used_is_told_by_its_field() {
    let made = selfsigned("client", |_| {});
    let other = selfsigned("other", |_| {});
    let (certificate, key) = (made.pem(), pkcs8(&made));
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAQID\n-----END RSA PRIVATE KEY-----\n";
    for (certificate, key, field, why) in [
        ("", &*key, "client-certificate-data", "no PEM block"),
        ("nonsense", &key, "client-certificate-data", "no PEM block"),
        (&key, &certificate, "client-certificate-data", "swapped"),
        (&pem("X", &[1]), &key, "client-certificate-data", "a block 'X'"),
        (&pem("CERTIFICATE", &[1]), &key, "client-certificate-data", "does not contain a certificate"),
        (&certificate, "nonsense", "client-key-data", "no PEM block"),
        (&certificate, &certificate, "client-key-data", "swapped"),
        (&certificate, &pem("PRIVATE KEY", &[1]), "client-key-data", "damaged"),
        (&certificate, &pem("ENCRYPTED PRIVATE KEY", &[1]), "client-key-data", "encrypted"),
        (&certificate, encrypted, "client-key-data", "encrypted"),
        (&certificate, &pkcs8(&other), "client-key-data", "not the key of the certificate"),
    ] {
        if certificate.is_empty() {
            continue;
        }
        let error = identity_of(certificate, key).err().unwrap();
        let told = format!("{error}: {}", error.causes().collect::<Vec<_>>().join(": "));
        assert!(told.contains(field) && told.contains(why), "{field}, {why}: {told}");
        assert!(error.advice().is_some(), "{told}");
    }
    let with = |change: fn(&mut AuthInfo)| {
        let mut user = user(&certificate, &key);
        change(&mut user);
        own_identity(&user, &provider())
    };
    let error = with(|user| user.client_key_data = None).err().unwrap();
    assert!(error.to_string().contains("no key for client-certificate-data"), "{error}");
    let error = with(|user| user.client_certificate_data = Some("no base64!".into())).err().unwrap();
    assert!(error.causes().any(|why| why.contains("not base64")), "{error}");
    let error = with(|user| {
        user.client_key_data = None;
        user.client_key = Some("/no/such/key".into());
    });
    assert!(error.err().unwrap().to_string().contains("client-key /no/such/key"));
    assert!(with(|user| user.client_certificate_data = None).unwrap().is_none(), "a key alone is no harm");
}

#[test]
fn a_bundle_of_authorities() {
    let bundle = |pem: &str| {
        let cluster =
            Cluster { certificate_authority_data: Some(STANDARD.encode(pem)), ..Cluster::default() };
        certificate_authority(&cluster).map(|certificates| certificates.unwrap().len())
    };
    let (one, two) = (selfsigned("one", authority), selfsigned("two", authority));
    for (what, text, count) in [
        ("two", [one.pem(), two.pem()].concat(), 2),
        ("text and others between", format!("x\n{}{}{}", one.pem(), pkcs8(&one), two.pem()), 2),
        ("one that is damaged", [pem("CERTIFICATE", &[1]), two.pem()].concat(), 1),
    ] {
        assert_eq!(bundle(&text).unwrap(), count, "{what}");
    }
    for text in ["", "words", &pem("CERTIFICATE", &[1]), &pkcs8(&one)] {
        if !text.is_empty() {
            assert!(bundle(text).err().unwrap().causes().any(|why| why.contains("no certificate")), "{text}");
        }
    }
}

/// Made for this test, and used for nothing else.
const EXPONENT_3: &str = "-----BEGIN PRIVATE KEY-----\n\
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC0KPZwTwI2cjpm\n\
wthwSwnsqz2dyP+GgOEderWDh6jwVUprDKiU5gRuegSK+GA1Z2u61xNCMwZgtbtQ\n\
607io6XUUAKBoDgbuX0Ndf8QQhxCvDPz7lUHHVT8XegnIpqBx8Yty8IFNDObkLRx\n\
RaIuCVCbp56XrMZzrL5jeH5SWOhjL5CJifHEkVubNkUeUjos6spV6lKg5BUAMrGR\n\
sleFjlArFwohW9Md3VZvjl+Ry7EzzwIveV8IoTzj+9bF91d8x9Hl4r8r/T9BHXbE\n\
hIx/twqV/OuS1vDwX/vW7mZmgeW7lGFeIV1fuFwigkDQuM1eMNhVIsQ67+9LvrJJ\n\
JwrjfIThAgEDAoIBAHgbTvWKAXmhfESB5aAyBp3HfmkwqlmrQL5RzlevxfWOMZyz\n\
Gw3urZ78AwdQQCOaR9Hkt4F3WZXOfOCc30HCbo2KrFZq0BJ7qLOj/2AsEtcoIqKe\n\
41oTjf2T8BoXEavahB6H1q4izRJgeEuDwXQGNb0aabpzLvfIfuz6/uGQmuzJQGNu\n\
8afPlSrZvAV2pCwdLjDPRLqmau10Lag7gD1UFbGmEAAQH9ewuVQSs77uOXXuvl+c\n\
Pdz+kQrLPhEETCov3DOEmQEuBUeMAUAypWFFyXu0WWgv3/lKrCzsaXIGFYck3Qd4\n\
gho8xPTr8lMVJDBH0PSB0zoack8qNOYd0jqO6ysCgYEA7uU8pA/xjr0DuINN8UN2\n\
CXZdeb2HRFwJFAeSGVzspNJY/H33aFxKfyo1yJ9nzX7HO1qrU9wq0qgjyzpaZiOW\n\
SYbQVr6dDbvGM5nKwkdAPZtCgjYXzZZ8N+LTsDZag3mZiYXD5/aOEeKpLJqEZ6NL\n\
xHmJyGtp3d/MQBl5auj/0BkCgYEAwQ8m4zjobR3r8pLSUqdI+5ZV8ctjMD/7WQ3G\n\
/cyjis5E9aNMOv4JwUc8iVP+jYQhqUVjrmD4kKunLnIWfxnpvhHLguubKZoFQUpt\n\
0iaOHsEr40B3U2PzwbC4GAUeQfdDjE0oskHPItB3KLmUr3J5WmzWPvheZfUzItaA\n\
5KKmVAkCgYEAn0N9wrVLtH4CewIz9iz5W6Q+USkE2D1bYq+2u5NIbeGQqFP6RZLc\n\
VMbOhb+aiP8vfOcc4pLHNxrCh3w8RBe5hlngOdRos9KEImaHLC+AKRIsVs66iQ79\n\
epc3ys7nAlERBlktRU8JYUHGHbxYRReH2FEGhZzxPpUy1WZQ8fCqirsCgYEAgLTE\n\
l3tFnhPyobc24cTbUmQ5S9zsytVSO16EqTMXsd7Yo8Iy0f6xK4TTBjf/CQLBG4OX\n\
yZX7Cx0aHva5qhFGfraHrJ0SG7wDgNxJNsRevytyl4BPjO1NK8slZVi+1qTXst4b\n\
IYE0weBPcHu4dPb7kZ3kKfrpmU4iFzmrQxcZjVsCgYEA641e/JIhIdqbBh9B5PiK\n\
ToZnWUtZz+7AUb8WC3OEOQzhkvtYOppWdpSAr1lE7SOeKwqZHVvppBStJhsTAfKf\n\
huZT2SR0Vl+2h/TJ5EvF2h2k613wvYjY5sWYo4KCwg/NaZA+IZXAofWid2Jf8uGX\n\
hjIlmjj4lPm1SG9YTzVheFA=\n\
-----END PRIVATE KEY-----\n";

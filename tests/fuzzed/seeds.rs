//! Inputs to begin from: the recorded transcripts, and lines that people type.

#![allow(unreachable_pub, reason = "the package of the fuzz targets has it as well")]

use crate::transcripts::sides;

/// Longer ones teach a fuzzer nothing that these do not.
const LONGEST: usize = 8 * 1024;

/// What stands before bytes that are not to be cut.
const UNCUT: u8 = 0;

/// Each target's name and its seeds.
pub fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let recorded = |tunnelled: bool| {
        // That one is a megabyte of the same.
        let telling = sides("s>c").into_iter().filter(|side| !side.name.starts_with("client-rst"));
        telling.filter(move |side| side.tunnelled == tunnelled).map(|mut side| {
            side.bytes.truncate(LONGEST);
            side.bytes
        })
    };
    let uncut = |bytes: Vec<u8>| [vec![UNCUT], bytes].concat();
    let lines = |lines: &[&str], between: &str| {
        lines.iter().map(|line| line.replace(' ', between).into_bytes()).collect::<Vec<_>>()
    };
    vec![
        ("spdy_decoder", recorded(false).map(uncut).collect()),
        ("websocket_decoder", recorded(true).map(uncut).collect()),
        ("spdy_session", recorded(false).map(|bytes| session(&bytes)).collect()),
        ("command_line", lines(LINES, "\n")),
        ("sets_file", bytes_of(SETS)),
        ("grammar", lines(WORDS, " ")),
        ("rpc_message", bytes_of(MESSAGES)),
        (
            "upgrade_answer",
            ANSWERS.iter().flat_map(|text| (0..3).map(|way| [&[way], text.as_bytes()].concat())).collect(),
        ),
        ("placeholder", bytes_of(COMMAND_WORDS)),
        ("kubeconfig", KUBECONFIGS.iter().map(|text| [&[0, 0, 0], text.as_bytes()].concat()).collect()),
    ]
}

fn bytes_of(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Two pairs, a few bytes for each, and what a server said once, in pieces.
fn session(heard: &[u8]) -> Vec<u8> {
    let mut script = vec![0, 0, 0, 80, 0, 0, 81, 2, 0, 0, 9, 2, 1, 0, 9, 7, 0, 7, 1, 7, 2, 7, 3];
    for piece in heard.chunks(200) {
        script.extend([11, piece.len() as u8]);
        script.extend_from_slice(piece);
    }
    script.extend([5, 6, 9, 1, 0x82, 0, 0, 1, 4, 1]);
    script
}

const LINES: &[&str] = &[
    "svc/api 8080:80",
    "svc/api --port 8080:80 --port=9090:metrics",
    "svc/api 8080:80 svc/db 5432 pod/x :6379",
    "-l app=web 8080 --context=x -nx -n=y --as-group a --as-group b",
    "staging/svc/api unix:/tmp/api.sock:80 --hold 1m30s --address 127.0.0.1,::1",
    "svc/db :5432 -- psql -h 127.0.0.1",
    "help version",
    "--request_timeout 5 -v=6 -qn x deploy/web 3000 --color never --give-up=false",
];

const WORDS: &[&str] = &[
    "svc/api",
    "staging/deploy/web",
    "8080:80",
    "[::1]:8080:http",
    "127.0.0.1::80",
    "unix:/tmp/a.sock:80",
    "svc/api p=8080:80 l=app=web 0:80",
    "1h2m3.5s",
    "localhost",
];

const SETS: &[&str] = &[
    include_str!("../../examples/fwd.yaml"),
    "version: 1\nauto: true\nkubeconfig: ../config\nforwards: []\n",
    "version: 1\nforwards:\n- {target: svc/api, ports: [80, '81:http'], name: \"a b\", hold: 1h2m, address: 'localhost,::1'}\n",
    "{\"version\": 1, \"forwards\": [{\"selector\": \"app in (a, b)\", \"ports\": \":80\", \"podRunningTimeout\": 0}]}",
    "version: 2\nforwards: &a [*a]\n---\n",
];

/// Short enough that most of one is left by a test's changes to it.
const KUBECONFIGS: &[&str] = &[
    "current-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u, namespace: n}}\nclusters:\n- name: c\n  \
     cluster: {server: 'https://u:p@x:6443/y?z', certificate-authority-data: !!binary YUE9PQ==}\nusers:\n- name: u\n  \
     user: {token: t, as: j, as-groups: [g, null], as-user-extra: {k%: [v], l: [w, x]}}\n",
    "{\"current-context\": \"a\", \"contexts\": [{\"name\": \"a\", \"context\": {\"cluster\": \"c\", \"user\": \"u\"}}],\n\
     \"clusters\": [{\"name\": \"c\", \"cluster\": {\"server\": \"x:1\", \"proxy-url\": \"\"}}], \"users\": [null, {\"name\": \"u\", \
     \"user\": {\"username\": \"\\u00fc\", \"password\": null, \"tokenFile\": \"./t\"}}]}",
    "current-context: a\nclusters: &c\n- name: c\n  cluster: &d {<<: {server: https://x}, extensions: *c}\n- {name: e, cluster: \
     *d}\ncontexts: [{name: a, context: {cluster: e, user: u}}]\nusers:\n- name: u\n  user:\n    exec:\n      command: ./p\n      \
     args: ['1', b]\n      env: [{name: A, value: ~}]\n      interactiveMode: Never\n",
    "current-context: ''\ncontexts: null\n---\n]",
    "users: [{name: u, user: {auth-provider: {name: oidc, config: {id-token: x}}, client-key-data: |\n  YUE9\n  PQ==\n}}]",
];

const MESSAGES: &[&str] = &[
    r#"{"jsonrpc":"2.0","id":1,"method":"portforward:start","params":{"resource_type":"service","name":"api","namespace":"shop","local_port":8080,"remote_port":"http","label":"a","replace":true}}"#,
    r#"[{"jsonrpc":"2.0","id":"a","method":"portforward:list"},{"jsonrpc":"2.0","method":"portforward:stop","params":{"id":"3"}}]"#,
    r#"{"jsonrpc":"2.0","id":null,"method":"portforward:start","params":{"resource_type":"selector","name":"app in (a,b)","remote_port":80,"address":"localhost,::1"}}"#,
    r#"{"jsonrpc":"2.0","id":{},"method":1,"params":[[]]}"#,
];

const ANSWERS: &[&str] = &[
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\nearly",
    "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 66\r\n\r\n{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"no\",\"code\":403}  ",
    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno\n\r\n0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 500 Internal Server Error\r\n\r\nerror dialing backend",
];

const COMMAND_WORDS: &[&str] =
    &["{port}", "http://{addr:svc/api:http}/{host}", "${port} {{port}} {}", "{port:}{port:a b}{{{addr}}}{"];

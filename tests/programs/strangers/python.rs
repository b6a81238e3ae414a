//! Python's `http.client`, which says what it thinks of an answer.

use std::process::Command;

use crate::house::{House, MIB};
use crate::tools::{run_with, tool};

/// Runs a script, which finds the server's address in `HOST` and `PORT`. False: there is no Python here.
#[track_caller]
fn python(house: &House, script: &str) -> bool {
    let Some(python) = tool("python3") else { return false };
    let before = format!(
        "import http.client, socket\nHOST, PORT = '{}', {}\n",
        house.address.ip(),
        house.address.port()
    );
    // -I: none of the user's own modules.
    let said = run_with(Command::new(python).args(["-I", "-"]), (before + script).as_bytes());
    assert_eq!(said.well().text(), "good\n");
    true
}

#[test]
fn many_requests_over_one_connection() {
    let house = House::open(&[]);
    house.file("large", MIB);
    let it_ran = python(
        &house,
        "
c = http.client.HTTPConnection(HOST, PORT, timeout=40)
c.connect()
sock = c.sock
for turn in range(100):
    for method, path, status, length in [
            ('GET', '/hello', 200, 13), ('HEAD', '/hello', 200, 0), ('GET', '/nowhere', 404, None),
            ('GET', '/large', 200, 1 << 20), ('HEAD', '/large', 200, 0), ('OPTIONS', '/hello', 204, 0),
            ('PUT', '/hello', 405, None), ('POST', '/echo', 200, 3)]:
        c.request(method, path, body=b'abc' if method == 'POST' else None)
        r = c.getresponse()
        body = r.read()
        assert r.status == status, (method, path, r.status)
        assert length is None or len(body) == length, (method, path, len(body))
        assert r.version == 11 and not r.will_close, (method, path)
        assert r.isclosed()
        assert c.sock is sock, 'another connection'
        if method == 'HEAD':
            assert int(r.headers['Content-Length']) > 0
print('good')
",
    );
    if it_ran {
        assert_eq!(house.count("connections_total"), 2, "one for all, and one who asks");
    }
}

#[test]
fn chunked_requests() {
    let house = House::open(&[]);
    python(
        &house,
        "
c = http.client.HTTPConnection(HOST, PORT, timeout=40)
for size in [1, 7, 4096, 65536]:
    for count in [0, 1, 13]:
        pieces = [bytes([65 + i]) * size for i in range(count)]
        c.request('POST', '/echo', body=iter(pieces), encode_chunked=True,
                  headers={'Transfer-Encoding': 'chunked', 'Content-Type': 'text/x-chunks'})
        r = c.getresponse()
        assert r.status == 200 and r.headers['Content-Type'] == 'text/x-chunks'
        assert r.read() == b''.join(pieces), (size, count)
c.request('POST', '/echo', body=iter([b'x' * 65536] * 17), encode_chunked=True,
          headers={'Transfer-Encoding': 'chunked'})
r = c.getresponse()
assert r.status == 413 and r.will_close, r.status
r.read()
# It says all that it has to say before it listens. It's listened to for two seconds: on a busy machine that
# may be too short now and then.
def is_told():
    c = http.client.HTTPConnection(HOST, PORT, timeout=40)
    try:
        c.request('POST', '/echo', body=b'x' * (8 << 20))
        r = c.getresponse()
    except OSError:
        return False
    return r.status == 413 and r.will_close and r.read() != b''
assert any(is_told() for turn in range(5))
print('good')
",
    );
}

#[test]
fn answers_end_as_they_say() {
    let house = House::open(&["--idle", "1"]);
    house.sparse("empty", 0);
    python(
        &house,
        "
def ask(text, timeout=40):
    s = socket.create_connection((HOST, PORT), timeout=timeout)
    s.sendall(text)
    r = http.client.HTTPResponse(s)
    r.begin()
    return s, r

# One that it asks to be closed.
s, r = ask(b'GET /hello HTTP/1.1\\r\\nHost: here\\r\\nConnection: close\\r\\n\\r\\n')
assert r.will_close and r.read() == b'Hello, World!'
assert s.recv(1) == b'', 'it is closed'
# Version 1.0, which stays only if asked to.
s, r = ask(b'GET /hello HTTP/1.0\\r\\n\\r\\n')
assert r.will_close and r.read() == b'Hello, World!' and s.recv(1) == b''
s, r = ask(b'GET /hello HTTP/1.0\\r\\nConnection: keep-alive\\r\\n\\r\\n')
assert not r.will_close and r.headers['Connection'] == 'keep-alive' and r.read() == b'Hello, World!'
# Nothing is something too.
s, r = ask(b'GET /empty HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n')
assert r.status == 200 and r.headers['Content-Length'] == '0' and r.read() == b''
assert s.recv(1) == b'', 'it is idle, and its time is over'
# In chunks: read as far as we like.
s, r = ask(b'GET /live HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n')
assert r.chunked and r.headers['Content-Type'].startswith('text/event-stream')
assert r.readline() == b': welcome\\n'
s.close()
print('good')
",
    );
}

/// All at once, and the answers in their order.
#[test]
fn pipelined_requests() {
    let house = House::open(&[]);
    house.file("large", MIB);
    python(
        &house,
        "
s = socket.create_connection((HOST, PORT), timeout=40)
host = b'Host: here\\r\\n'
asked = []
text = b''
for i in range(50):
    body = b'number %d' % i
    text += b'POST /echo HTTP/1.1\\r\\n' + host + b'Content-Length: %d\\r\\n\\r\\n' % len(body) + body
    asked.append(('POST', 200, body))
    text += b'HEAD /large HTTP/1.1\\r\\n' + host + b'\\r\\n'
    asked.append(('HEAD', 200, b''))
    text += b'POST /echo HTTP/1.1\\r\\n' + host + b'Transfer-Encoding: chunked\\r\\n\\r\\n'
    text += b'%x\\r\\n' % len(body) + body + b'\\r\\n0\\r\\n\\r\\n'
    asked.append(('POST', 200, body))
    text += b'GET /nowhere%d HTTP/1.1\\r\\n' % i + host + b'\\r\\n'
    asked.append(('GET', 404, None))
text += b'GET /hello HTTP/1.1\\r\\nConnection: close\\r\\n' + host + b'\\r\\n'
asked.append(('GET', 200, b'Hello, World!'))
s.sendall(text)
f = s.makefile('rb')
class Same:
    def makefile(self, mode): return f
class Keep:
    def __init__(self): self.fp = f
for method, status, body in asked:
    r = http.client.HTTPResponse(Same(), method=method)
    keep, r.fp = r.fp, f
    r._close_conn = lambda: None  # the next answer is in the same stream
    r.begin()
    got = r.read()
    assert r.status == status, (r.status, status)
    assert body is None or got == body, (got, body)
assert f.read() == b'', 'nothing comes after the last answer'
print('good')
",
    );
}

"""The configuration files of the peers. One process, one core, keep-alive both ways for each."""

from pathlib import Path

SMALL_BYTES, LARGE_BYTES = 933, 100_000
_ITEM = '{"items":[%s],"next_cursor":null}'


def small_body() -> str:
    """JSON of 933 bytes, like a page of the API."""
    row = '{"id":"01a2168e-485d-773d-9b6b-671731cefe8a","status":"minted","amount_wei":"20000000000000000000"}'
    body = _ITEM % ",".join([row] * 8)
    return body + " " * (SMALL_BYTES - len(body))


def _nginx(folder: Path, name: str, http: str) -> str:
    return f"""
daemon off;
worker_processes 1;
pid {folder}/{name}.pid;
events {{ worker_connections 4096; multi_accept on; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi;
    scgi_temp_path {folder}/{name}-scgi;
    {http}
}}
"""


def upstream(folder: Path, port: int, name: str = "upstream") -> str:
    """The service: it answers from memory, or from a file with sendfile."""
    return _nginx(
        folder,
        name,
        f"""
    sendfile on;
    tcp_nopush on;
    default_type application/json;
    open_file_cache max=10;
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        location = /v1/things/large {{ alias {folder}/large; }}
        location / {{ return 200 '{small_body()}'; }}
    }}""",
    )


def nginx(folder: Path, port: int, service: str, *, duties: bool) -> str:
    """A reverse proxy; with `duties` it also limits per address, traces, and logs in batches."""
    log = f"""
    log_format json escape=json '{{"method":"$request_method","uri":"$uri","status":$status,'
        '"seconds":$request_time,"request_id":"$request_id","client":"$remote_addr"}}';
    access_log {folder}/nginx-access.log json buffer=64k flush=1s;
    limit_req_zone $binary_remote_addr zone=each:10m rate=1000000r/s;
    limit_req zone=each burst=100000 nodelay;"""
    headers = """
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header traceparent "00-$request_id-0123456789abcdef-01";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
            add_header X-Request-ID $request_id;"""
    return _nginx(
        folder,
        f"nginx-{'duties' if duties else 'plain'}",
        f"""{log if duties else ""}
    upstream service {{ server {service}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";{headers if duties else ""}
        }}
    }}""",
    )


def haproxy(port: int, service: str, public_key: Path) -> str:
    """Verifies signature, algorithm, issuer and expiry of each request's token."""
    return f"""
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option http-keep-alive
frontend door
    bind 127.0.0.1:{port}
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
    http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')
    http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.alg) -m str "RS256" }}
    http-request deny deny_status 401 unless {{ var(txn.iss) -m str "btrst-network" }}
    http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
    http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,"{public_key}") 1 }}
    default_backend service
backend service
    http-reuse always
    server one {service}
"""

"""nginx as a reverse proxy: TLS, client certificates if they are shown, one record per request, no decision.

Neither session tickets nor a session cache, so that every handshake is a full one, and no end to a connection's
requests. Bodies are passed on as they come.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from bench.peers.peer import Peer
from bench.tools import NGINX

FIELDS = {
    "time": "$time_iso8601",
    "request_id": "$request_id",
    "source": "$remote_addr",
    "method": "$request_method",
    "host": "$host",
    "path": "$uri",
    "protocol": "$server_protocol",
    "peer": "$ssl_client_s_dn",
    "status": "$status",
    "upstream": "$upstream_addr",
    "bytes_in": "$request_length",
    "bytes_out": "$bytes_sent",
    "duration": "$request_time",
}
CONFIGURATION = """\
daemon off;
pid {place}/nginx.pid;
error_log {place}/error.txt;
worker_processes 1;
worker_rlimit_nofile {files};
{user}
events {{ worker_connections {files}; }}
http {{
    log_format json escape=json '{record}';
    access_log {access_log} json buffer=64k flush=250ms;
    client_body_temp_path {place}/bodies;
    proxy_temp_path {place}/proxied;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    upstream service {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} ssl backlog=1024;
        server_name localhost;
        ssl_certificate {edge}.pem;
        ssl_certificate_key {edge}.key;
        ssl_client_certificate {ca};
        ssl_verify_client optional;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets off;
        ssl_session_cache off;
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_set_header X-Request-Id $request_id;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
}}
"""


class Nginx(Peer):
    """nginx of the system."""

    def commands(self) -> Sequence[Sequence[str]]:
        configuration = self.place / "nginx.conf"
        record = ",".join(f'"{name}":"{value}"' for name, value in FIELDS.items())
        configuration.write_text(
            CONFIGURATION.format(
                place=self.place,
                files=8192,
                user="user root;" if os.geteuid() == 0 else "",  # its worker reads what only this user may
                record="{" + record + "}",
                access_log=self.access_log,
                upstream=self.upstream,
                port=self.port,
                edge=self.world.directory / "edge",
                ca=self.world.file("ca.pem"),
            ),
            encoding="utf-8",
        )
        return [[NGINX, "-p", str(self.place), "-c", str(configuration)]]

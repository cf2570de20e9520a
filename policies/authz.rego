package ztproxy.authz

"""One request's life (`exchange`), and what keeps it company: listeners, snapshots, reload, drain, admin."""

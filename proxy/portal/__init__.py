"""What a person sees under `/.ztproxy/`: signing in, their applications, who they are, and why they were refused."""

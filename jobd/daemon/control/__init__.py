"""The control socket: who may connect, and what each request does."""

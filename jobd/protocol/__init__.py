"""What crosses a process border: messages between daemon, template and worker, the board, the control socket."""

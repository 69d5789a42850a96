"""One file per subcommand: a plain function that returns an exit status."""

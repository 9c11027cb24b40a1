"""The command line: what people type. `keystead.cli.app` is where to begin."""
